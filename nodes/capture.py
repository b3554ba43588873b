"""Capture: turns a source (video, folder, camera, synthetic scene, ...) into a stream of frames."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from nodes.messages import Frame
from nodes.sources import SOURCES
from nodes.sources.base import EndedEarlyError, FrameSource, Picture, Selection, laps
from nodes.sources.calibrations.reading import read_calibration
from nodes.sources.images import read_mask
from nodes.vision.camera import Camera
from nodes.vision.framing import Framing
from nodes.vision.images import Image, to_grey
from pipeline.errors import ConfigError, InputError
from pipeline.node import Lost, Output, Resources, Source, TruncatedError, Unreadable

Size = tuple[int, int]
"""(width, height), pixels."""


class Capture(Source):
    """Numbers and stamps the pictures of a source, and says which camera saw them."""

    @dataclass(frozen=True)
    class Params:
        """Where frames come from, which of them, and with which camera."""

        source: Annotated[str, SOURCES, "where frames come from"] = "synthetic"
        options: Annotated[object, "settings of the source"] = None
        start: Annotated[int, "index of the first frame taken"] = 0
        stop: Annotated[int | None, "index of the first frame not taken; null: to the end"] = None
        step: Annotated[int, "take every step-th frame"] = 1
        loop: Annotated[int, "how many times to play the recording; 0: without end"] = 1
        camera: Annotated[str, "calibration file; empty: the one beside the input"] = ""
        mask: Annotated[str, "image, nonzero where frames may be used; empty: the one beside"] = ""
        fov_deg: Annotated[float, "field of view assumed without calibration, longer side, deg"] = (
            60.0
        )
        crop: Annotated[tuple[int, ...], "x, y, width, height of the part taken; empty: all"] = ()
        resize: Annotated[tuple[int, ...], "width, height of the frames; empty: as they are"] = ()
        grey: Annotated[bool, "turn colour frames to grey"] = False

        def __post_init__(self) -> None:
            for key, low in (("start", 0), ("step", 1), ("loop", 0)):
                if getattr(self, key) < low:
                    raise ValueError(f"{key} must be {low} or more, not {getattr(self, key)}")
            if self.stop is not None and self.stop <= self.start:
                raise ValueError(f"stop must be above start ({self.start}), not {self.stop}")
            if not 1 <= self.fov_deg <= 170:
                raise ValueError(f"fov_deg must be from 1 to 170 degrees, not {self.fov_deg}")
            Framing(self.crop, self.resize)

    outputs: ClassVar = {"frame": Output(Frame)}

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        self._source = self._create_source()
        self._selection = Selection(self.params.start, self.params.stop, self.params.step)
        self._framing = Framing(self.params.crop, self.params.resize)
        self._cameras: dict[Size, Camera] = {}
        self._exif: Camera | None = None
        self._mask: Image | None = None
        self._mask_size: Size | None = None
        self._sizes: list[Size] = []
        self.live = self._source.live
        self.replays = self._source.replays

    def open(self, resources: Resources) -> None:
        """Open the source; check that selection, calibration and mask fit it."""
        super().open(resources)
        if not self.params.grey and self._framing.is_plain:
            self._source.empty = resources.empty
        self._source.state = resources.state
        self._source.open(resources.warn)
        self._check_selection()
        self._check_crop()
        self._open_camera()
        self._open_mask()

    def produce(self) -> Iterator[Frame | Unreadable | Lost | None]:
        """Yield the selected frames; a picture that cannot be decoded gives `Unreadable`.

        A lost signal gives None until it returns, then `Lost`.

        Raises:
            TruncatedError: the recording ends before its claimed end.
            InputError: it holds no frame.
        """
        count = 0
        try:
            for picture in laps(self._source, self._selection, self.params.loop):
                count += picture is not None
                yield None if picture is None else self._message(picture)
        except EndedEarlyError as error:
            raise TruncatedError(str(error)) from error
        if count == 0:
            raise InputError(f"{self._source.name}: there is no frame to take")
        if count == 1:
            self.resources.warn(f"{self._source.name} gives one frame: there is no motion to see")

    def length(self) -> int | None:
        """Return the number of frames to expect."""
        length = self._source.length()
        if length is None or self.params.loop == 0:
            return None
        return len(self._selection.indices(length)) * int(self.params.loop)

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _create_source(self) -> FrameSource:
        try:
            source: FrameSource = SOURCES.create(self.params.source, self.params.options)
        except ValueError as error:
            raise ConfigError(
                f"params.options of source {self.params.source!r}: {error}"
            ) from error
        return source

    def _check_selection(self) -> None:
        length = self._source.length()
        if length is not None and self.params.start >= length:
            raise ConfigError(
                f"params.start must be below {length}, the number of frames in "
                f"{self._source.name}, not {self.params.start}"
            )

    def _check_crop(self) -> None:
        size = self._source.size
        if size and not self._framing.fits(*size):
            raise ConfigError(
                f"params.crop must lie within the {_text(size)} pixels of {self._source.name}, "
                f"not {list(self.params.crop)}"
            )

    def _open_camera(self) -> None:
        given = self.params.camera
        camera = read_calibration(Path(given)) if given else self._source.camera
        if camera is None:
            self.resources.warn(
                f"{self._source.name} is uncalibrated: assuming a field of view of "
                f"{self.params.fov_deg:g} degrees; give --camera FILE"
            )
            return
        if camera.focal_source == "exif":
            self._exif = camera
            self.resources.warn(
                f"{self._source.name} is uncalibrated: the focal length is {camera.fx:.0f} px by "
                "EXIF; give --camera FILE"
            )
        size = (camera.width, camera.height)
        if self._source.size not in (None, size):
            raise InputError(
                f"the calibration {given or 'beside ' + self._source.name} is for "
                f"{_text(size)} pixels, but the frames have {_text(self._source.size)}: "
                "calibrate at this size, or give --camera FILE"
            )
        self._cameras[size] = self._framing.camera(camera)

    def _open_mask(self) -> None:
        given = self.params.mask
        mask = read_mask(Path(given)) if given else self._source.mask
        if mask is None:
            return
        self._mask_size = (mask.shape[1], mask.shape[0])
        if self._source.size not in (None, self._mask_size):
            raise InputError(
                f"the mask {given or 'beside ' + self._source.name} has "
                f"{_text(self._mask_size)} pixels, but the frames have "
                f"{_text(self._source.size)}: remove it, or give one of their size: "
                f"--set {self.resources.node}.params.mask=FILE"
            )
        if self._framing.fits(*self._mask_size):
            self._mask = mask if self._framing.is_plain else self._framing.mask(mask)

    def _message(self, picture: Picture) -> Frame | Unreadable | Lost:
        index, stamp_ns = picture.index, picture.stamp_ns
        if picture.image is None:
            kind = Lost if picture.is_gap else Unreadable
            return kind(index, stamp_ns, picture.reason)
        size = (picture.image.shape[1], picture.image.shape[0])
        self._warn_of_change(size, index)
        if not self._framing.fits(*size):
            return Unreadable(index, stamp_ns, f"the crop does not fit into {_text(size)} pixels")
        return Frame(
            stream=self.resources.node,
            seq=index,
            stamp_ns=stamp_ns,
            image=self._image(picture.image),
            camera=self._camera(size),
            mask=self._mask if self._mask_size == size else None,
        )

    def _image(self, image: Image) -> Image:
        if not self._framing.is_plain:
            empty = np.empty if self.params.grey else self.resources.empty
            image = self._framing.image(image, empty)
        return to_grey(image, self.resources.empty) if self.params.grey else image

    def _camera(self, size: Size) -> Camera:
        """Return the calibrated camera where its size fits, else one by EXIF or an assumed one."""
        if size not in self._cameras:
            self._cameras[size] = self._framing.camera(self._uncalibrated(size))
        return self._cameras[size]

    def _uncalibrated(self, size: Size) -> Camera:
        if self._exif is None:
            return Camera.assumed(*size, self.params.fov_deg)
        scale = max(size) / max(self._exif.width, self._exif.height)
        return Camera.uncalibrated(*size, self._exif.fx * scale, "exif")

    def _warn_of_change(self, size: Size, index: int) -> None:
        """Warn when the size changes for the first time; more would only repeat it."""
        if self._sizes == [size] or len(self._sizes) > 1:
            return
        if self._sizes:
            self.resources.warn(
                f"{self._source.name}: frame {index} changes size from {_text(self._sizes[0])} to "
                f"{_text(size)}; calibration and mask hold for their own size only"
            )
        self._sizes.append(size)


def _text(size: tuple[int, ...] | None) -> str:
    return f"{size[0]}x{size[1]}" if size else "an unknown size"
