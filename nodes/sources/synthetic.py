"""A rendered scene with exact poses and intrinsics: needs no camera, no file, no download."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt

from nodes.sources.base import FrameSource, GroundTruth, Picture, Selection
from nodes.vision import room
from nodes.vision.camera import Camera
from nodes.vision.images import Image
from nodes.vision.lens import Lens
from nodes.vision.paths import PATHS
from nodes.vision.scene import Scene
from nodes.vision.tube import Tube
from pipeline.errors import ConfigError

MAX_SIDE = 4096
GRAIN_MARGIN = 64
NUM_PHASES = 5
EDGE_PX = 6
"""Width of the soft edge of an endoscope's picture."""


class Synthetic(FrameSource):
    """A gallery of pictures and boxes, a painted wall or a tube, seen from a smooth path.

    The tube is seen as by an endoscope: a lamp at the camera, a round picture, and highlights.
    Every frame depends on the options and its index alone.
    """

    @dataclass(frozen=True)
    class Options:
        """What moves how, and how it is seen."""

        motion: Annotated[str, "general, rotation (pan), planar (one wall), static, tube"] = (
            "general"
        )
        frames: Annotated[int, "number of frames"] = 60
        width: Annotated[int, "pixels"] = 640
        height: Annotated[int, "pixels"] = 480
        fps: Annotated[float, "rate of the timestamps, Hz"] = 30.0
        seed: Annotated[int, "decides the scene, the path and the noise"] = 0
        speed: Annotated[
            float, "motion per frame; 1: about 5 cm and 1.5 degrees, in the tube 1.5 mm"
        ] = 1.0
        noise: Annotated[float, "standard deviation of the pixel noise, grey levels"] = 2.0
        light: Annotated[float, "share of the brightness that comes and goes"] = 0.0
        fov_deg: Annotated[float, "horizontal field of view before distortion, degrees"] = 60.0
        distortion: Annotated[tuple[float, ...], "k1 k2 p1 p2 [k3]; empty: none"] = ()

        def __post_init__(self) -> None:
            if self.motion not in PATHS:
                raise ValueError(f"motion must be one of {', '.join(PATHS)}, not {self.motion!r}")
            for key, low, high in _RANGES:
                if not low <= getattr(self, key) <= high:
                    given = getattr(self, key)
                    raise ValueError(f"{key} must be from {low} to {high}, not {given}")
            if len(self.distortion) not in (0, 4, 5):
                raise ValueError(f"distortion must be 0, 4 or 5 numbers, not {self.distortion}")

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        self.size = (self.options.width, self.options.height)
        self._phase = np.random.default_rng([self.options.seed, 1]).uniform(
            0, 2 * np.pi, NUM_PHASES
        )
        self._scene: Scene | Tube | None = None
        self._lens: Lens | None = None
        self._grain = np.zeros((0, 0, 3), np.int16)

    @property
    def name(self) -> str:
        """Return "synthetic (general)"."""
        return f"synthetic ({self.options.motion})"

    @property
    def camera(self) -> Camera:
        """Return the exact camera."""
        o = self.options
        focal = 0.5 * o.width / np.tan(np.radians(o.fov_deg) / 2)
        centre = ((o.width - 1) / 2, (o.height - 1) / 2)
        return Camera(o.width, o.height, float(focal), float(focal), *centre, tuple(o.distortion))

    @property
    def mask(self) -> Image | None:
        """Return the round part (H, W) that an endoscope shows, None for other cameras."""
        if self.options.motion != "tube":
            return None
        return np.asarray(np.where(self._vignette() == 1, 255, 0), np.uint8)

    def open(self, warn: Callable[[str], None]) -> None:
        """Paint the scene."""
        self._lens = self._make_lens()
        rng = np.random.default_rng([self.options.seed, 0])
        self._scene = self._build(rng)
        shape = (self.options.height + GRAIN_MARGIN, self.options.width + GRAIN_MARGIN, 3)
        grain = rng.standard_normal(shape, np.float32) * np.float32(self.options.noise)
        self._grain = np.rint(grain).astype(np.int16)

    def frames(self, selection: Selection) -> Iterator[Picture]:
        """Render the selected frames."""
        for index in selection.indices(self.options.frames):
            yield Picture(index, self._stamp_ns(index), self.render(index))

    def length(self) -> int:
        """Return the number of frames."""
        return int(self.options.frames)

    def groundtruth(self) -> GroundTruth:
        """Return the exact pose of every frame."""
        indices = range(self.options.frames)
        poses = np.array([self.pose(i) for i in indices], np.float64)
        return np.array([self._stamp_ns(i) for i in indices], np.int64), poses

    def pose(self, index: int) -> npt.NDArray[np.float64]:
        """Return T_world_cam (4, 4) of frame `index`."""
        path = PATHS[self.options.motion]
        return path(index * self.options.speed, self._phase)

    def render(self, index: int) -> Image:
        """Return frame `index` (H, W, 3)."""
        assert self._scene is not None, "open comes first"
        camera = self.camera if self._lens is None else self._lens.pinhole
        image = self._scene.render(camera, self.pose(index))
        image = image if self._lens is None else self._lens.distort(image)
        gain = 1 - float(self.options.light) * (0.5 - 0.5 * np.cos(index / 8))
        if self.options.motion == "tube":
            image = np.asarray(image * self._vignette()[..., None], np.uint8)
        lit = image if gain == 1 else np.asarray(cv2.convertScaleAbs(image, alpha=gain), np.uint8)
        return self._noisy(lit, index)

    def _build(self, rng: np.random.Generator) -> Scene | Tube:
        if self.options.motion == "tube":
            return Tube(rng, self._phase)
        return Scene(room.wall(rng) if self.options.motion == "planar" else room.gallery(rng))

    def _vignette(self) -> npt.NDArray[np.float32]:
        """Return the share (H, W) of the light that passes: 1 in a circle, 0 around it."""
        width, height = self.options.width, self.options.height
        x, y = np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2
        inwards_px = 0.5 * min(width, height) - 1 - np.hypot.outer(y, x)
        return np.asarray(np.clip(inwards_px / EDGE_PX, 0, 1), np.float32)

    def _make_lens(self) -> Lens | None:
        try:
            return Lens(self.camera) if any(self.options.distortion) else None
        except ValueError as error:
            raise ConfigError(f"{self.name}: {error}") from error

    def _noisy(self, image: Image, index: int) -> Image:
        """Add a patch of the grain, for every frame a different one."""
        if self.options.noise == 0:
            return image
        y, x = np.random.default_rng([self.options.seed, 2, index]).integers(GRAIN_MARGIN, size=2)
        grain = self._grain[y : y + image.shape[0], x : x + image.shape[1]]
        return np.asarray(cv2.add(image, grain, dtype=cv2.CV_8U), np.uint8)

    def _stamp_ns(self, index: int) -> int:
        return round(index * 1e9 / float(self.options.fps))


_RANGES = (
    ("frames", 1, 10**9), ("width", 16, MAX_SIDE), ("height", 16, MAX_SIDE), ("seed", 0, 2**63),
    ("fps", 0.001, 1e6), ("speed", 0, 20), ("noise", 0, 100), ("light", 0, 0.9),
    ("fov_deg", 10, 120),
)  # fmt: skip
