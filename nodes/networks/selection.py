"""Which pixels become keypoints of SuperPoint: what a user may ask of them."""

from dataclasses import dataclass

MIN_THRESHOLD = 1e-4
"""With it keys of images up to 80 million pixels are exact in float64."""
MAX_RADIUS_PX = 16
"""A CPU looks at the windows of all candidates at once."""
MAX_OCTAVES = 4


@dataclass(frozen=True)
class Selection:
    """Which pixels become keypoints; the defaults are the published ones."""

    max_keypoints: int = 1024
    threshold: float = 0.015
    nms_radius_px: int = 4
    """No two keypoints of an octave have a distance of it or less in both x and y."""
    border_px: int = 4
    subpixel: bool = False
    """Moves each keypoint to the peak of the scores around it."""
    octaves: int = 1
    """Sizes of the image that are looked at, each half the one before; their pixels count for
    `nms_radius_px` and `border_px`."""

    def __post_init__(self) -> None:
        if self.max_keypoints < 1:
            raise ValueError(f"max_keypoints must be at least 1, not {self.max_keypoints}")
        if not MIN_THRESHOLD <= self.threshold < 1:
            raise ValueError(
                f"threshold must be at least {MIN_THRESHOLD} and less than 1, not {self.threshold}"
            )
        if not 0 <= self.nms_radius_px <= MAX_RADIUS_PX:
            limit = f"from 0 to {MAX_RADIUS_PX}"
            raise ValueError(f"nms_radius_px must be {limit}, not {self.nms_radius_px}")
        if self.border_px < 0:
            raise ValueError(f"border_px must be at least 0, not {self.border_px}")
        if not 1 <= self.octaves <= MAX_OCTAVES:
            raise ValueError(f"octaves must be from 1 to {MAX_OCTAVES}, not {self.octaves}")
