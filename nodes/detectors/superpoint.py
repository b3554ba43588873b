"""SuperPoint (DeTone et al., CVPR Workshops 2018), on a CPU or in batches on a GPU."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt

from nodes.detectors import FindsKeypoints
from nodes.networks.extractor import Extractor
from nodes.networks.keypoint_head import Found
from nodes.networks.selection import Selection
from nodes.networks.state_dicts import load_superpoint
from nodes.networks.weights import locate
from nodes.vision.images import to_grey
from nodes.vision.keypoints import Keypoints

Image = npt.NDArray[np.uint8]

SIZE_PX = 8.0
"""Given as the size of every keypoint, in pixels of its octave: the side of a cell, which the
network describes as one. It knows no scale; what it sees of the surroundings reaches 42 pixels to
each side, and counts less the farther away it is."""


class SuperPoint(FindsKeypoints):
    """Finds corners by a network, and describes them by vectors of unit norm, without angles."""

    @dataclass(frozen=True)
    class Options:
        """Weights, which pixels become keypoints, and how the network runs."""

        weights: Annotated[
            str, "a name of `posestream weights list`, or a file: .pth or .safetensors"
        ] = "superpoint"
        max_keypoints: Annotated[int, "number of best keypoints to keep"] = 1024
        threshold: Annotated[float, "lowest probability of a keypoint"] = 0.015
        nms_radius_px: Annotated[int, "keeps the best keypoint within this many pixels"] = 4
        border_px: Annotated[int, "drops keypoints this near to the edge of the image"] = 4
        subpixel: Annotated[bool, "moves keypoints to the peak of the scores around them"] = False
        octaves: Annotated[
            int, "also finds keypoints at half, a quarter, an eighth of the size: 1 to 4"
        ] = 1
        device: Annotated[
            Literal["auto", "cpu", "cuda"], "where to run; auto takes a GPU if there is one"
        ] = "auto"
        precision: Annotated[
            Literal["auto", "fastest", "float32", "bfloat16", "float16"],
            "of the network; auto is float32 on a CPU and float16 on a GPU; fastest is bfloat16 on "
            "a CPU that computes it, else as auto",
        ] = "auto"

        def __post_init__(self) -> None:
            self.selection()

        def selection(self) -> Selection:
            """Return what is asked of a keypoint.

            Raises:
                ValueError: a setting is out of its range.
            """
            names = (field.name for field in fields(Selection))
            return Selection(**{name: getattr(self, name) for name in names})

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or self.Options()
        self._extractor = Extractor(
            load_superpoint(locate(self.options.weights)),
            self.options.selection(),
            device=self.options.device,
            precision=self.options.precision,
        )

    def detect(self, image: Image, mask: Image | None = None) -> Keypoints:
        """Return the best keypoints of an image (H, W[, 3]) inside the mask, in canonical order."""
        return _keypoints(self._extractor.extract(to_grey(image), mask))

    def detect_batch(
        self, images: Sequence[Image], masks: Sequence[Image | None]
    ) -> list[Keypoints]:
        """Return what `detect` would for each image; see `Extractor.extract_batch`."""
        greys = [to_grey(image) for image in images]
        found = self._extractor.extract_batch(greys, masks, self.batch_size)
        return [_keypoints(one) for one in found]


def _keypoints(found: Found) -> Keypoints:
    """Add sizes and angles; the order by (-score, y, x, size) is the canonical one already."""
    return Keypoints(
        keypoints=found.keypoints,
        scores=found.scores,
        sizes=found.scales * np.float32(SIZE_PX),
        angles=np.full(len(found.scores), np.nan, np.float32),
        descriptors=found.descriptors,
    )
