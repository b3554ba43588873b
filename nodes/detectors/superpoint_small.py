"""SuperPoint for CPUs: a sixteenth of the original's arithmetic, and weights that are shipped."""

from dataclasses import dataclass
from typing import Annotated, Literal

from nodes.detectors.superpoint import SuperPoint


class SuperPointSmall(SuperPoint):
    """Finds corners by a small network, and describes them by 64 values, without angles."""

    @dataclass(frozen=True)
    class Options(SuperPoint.Options):
        """Those of SuperPoint, with other defaults."""

        weights: Annotated[
            str, "a name of `posestream weights list`, or a file: .pth or .safetensors"
        ] = "superpoint-small"
        subpixel: Annotated[bool, "moves keypoints to the peak of the scores around them"] = True
        precision: Annotated[
            Literal["auto", "fastest", "float32", "bfloat16", "float16"],
            "of the network; fastest is bfloat16 on a CPU that computes it, else as auto: float32 "
            "on a CPU, float16 on a GPU",
        ] = "fastest"
