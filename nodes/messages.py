"""The messages that travel between the nodes: read this file first.

Every message carries `stream`, `seq` (index in the recording or capture counter) and `stamp_ns`.
Keypoints are (x, y) pixels of the original image; (0, 0) is the centre of the top-left pixel.
Letters in shapes: H W image, N K keypoints, M matches, D descriptor.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt

from nodes.vision.camera import Camera
from pipeline.messages import Array, Message

Image = Annotated[npt.NDArray[np.uint8], Array("uint8", "H W", "H W 3")]
Mask = Annotated[npt.NDArray[np.uint8], Array("uint8", "H W")]
Transform = Annotated[npt.NDArray[np.float64], Array("float64", "4 4")]
Homography = Annotated[npt.NDArray[np.float64], Array("float64", "3 3")]


@dataclass(frozen=True, eq=False, kw_only=True)
class Frame(Message):
    """One image of a camera: grey stays grey, colour is RGB."""

    image: Image
    camera: Camera
    mask: Mask | None = None
    """Nonzero where the picture may be used, such as the circle of an endoscope."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Features(Message):
    """Keypoints of one frame with their descriptors, best first."""

    keypoints: Annotated[npt.NDArray[np.float32], Array("float32", "N 2")]
    scores: Annotated[npt.NDArray[np.float32], Array("float32", "N")]
    sizes: Annotated[npt.NDArray[np.float32], Array("float32", "N")]
    """Diameter of the described neighbourhood, pixels."""
    angles: Annotated[npt.NDArray[np.float32], Array("float32", "N")]
    """Orientation in radians, clockwise from x (y points down); NaN where there is none."""
    descriptors: Annotated[
        npt.NDArray[np.float32] | npt.NDArray[np.uint8], Array("float32 or uint8", "N D")
    ]
    camera: Camera


@dataclass(frozen=True, eq=False, kw_only=True)
class Matches(Message):
    """Keypoints of two frames of a stream and which of them show the same point.

    `stream`, `seq` and `stamp_ns` are those of the current frame.
    """

    seq_prev: int
    stamp_ns_prev: int
    keypoints_prev: Annotated[npt.NDArray[np.float32], Array("float32", "N 2")]
    keypoints_cur: Annotated[npt.NDArray[np.float32], Array("float32", "K 2")]
    ids_prev: Annotated[npt.NDArray[np.int64], Array("int64", "N")]
    """Identity of each keypoint within its stream, as when its frame was the current one."""
    ids_cur: Annotated[npt.NDArray[np.int64], Array("int64", "K")]
    matches: Annotated[npt.NDArray[np.int32], Array("int32", "M 2")]
    """Column 0 indexes prev, column 1 cur; each index at most once; sorted by column 0."""
    match_scores: Annotated[npt.NDArray[np.float32], Array("float32", "M")]
    """Higher is better."""
    camera: Camera


@dataclass(frozen=True, eq=False, kw_only=True)
class RelativePose(Message):
    """Motion between two frames of a stream: p_cur = T_cur_prev @ p_prev.

    `label` says what kind of motion the matches show:

    | label | T_cur_prev |
    |---|---|
    | static | the identity |
    | rotation | a rotation with a zero translation: none can be seen |
    | planar | rotation and direction (unit norm), from a scene that looks like one plane |
    | general | rotation and direction (unit norm) |
    | lost | None; `reason` says why |

    The translation of a single camera has no length of its own: `scale` is None.
    """

    seq_prev: int
    stamp_ns_prev: int
    num_matches: int
    num_inliers: int
    label: str
    T_cur_prev: Transform | None = None
    T_cur_prev_alt: Transform | None = None
    """The other motion that explains the plane as well, where the matches cannot decide."""
    H_cur_prev: Homography | None = None
    """p_cur ~ H_cur_prev @ p_prev in undistorted pixels; exact for a plane or a pure rotation."""
    inliers: Annotated[npt.NDArray[np.bool_], Array("bool", "M")] | None = None
    """Aligned with `Matches.matches`; the matches that fit the motion of this label."""
    scale: float | None = None
    reason: str | None = None
    covariance: Annotated[npt.NDArray[np.float64], Array("float64", "5 5", "3 3")] | None = None
    """Of rotation and direction (5, 5), or of a rotation (3, 3): see nodes/vision/covariance.py."""
    camera: Camera | None = None
    """The camera that the motion was estimated with."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Trajectory(Message):
    """Where the camera was at one frame, as known when the frame came; never revised.

    All poses of a segment share one world and one scale, whose unit is unknown. Another segment has
    another world: nothing is known of how the two lie to each other.
    """

    segment: int
    """Number of the segment within its stream, from 0; -1 before the first one."""
    T_world_cam: Transform | None = None
    """None where the camera could not be placed; `reason` says why."""
    reason: str | None = None
    is_keyframe: bool = False
    num_landmarks: int = 0
    """Landmarks that were seen in this frame and agree with its pose."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Tracks(Message):
    """The points that are being followed at one frame."""

    ids: Annotated[npt.NDArray[np.int64], Array("int64", "N")]
    """Identity of each point, the same in every frame of the stream that shows it."""
    keypoints: Annotated[npt.NDArray[np.float32], Array("float32", "N 2")]
    ages: Annotated[npt.NDArray[np.int32], Array("int32", "N")]
    """Frames that the point has been followed over, at least 2."""
    landmarks: Annotated[npt.NDArray[np.float64], Array("float64", "N 3")]
    """Its position in the world of the segment; NaN where it is not known."""
    segment: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Keyframe(Message):
    """A frame that others are compared with, and the landmarks it sees."""

    segment: int
    T_world_cam: Transform
    reason: str
    """Why it became one, such as "parallax 2.1 deg"."""
    ids: Annotated[npt.NDArray[np.int64], Array("int64", "L")]
    """Identity of each landmark's track, as in `Tracks`."""
    keypoints: Annotated[npt.NDArray[np.float32], Array("float32", "L 2")]
    landmarks: Annotated[npt.NDArray[np.float64], Array("float64", "L 3")]
    """Position in the world of the segment."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Mosaic(Message):
    """A part of a panorama: `image` has its top-left pixel at `origin` (x, y) of the canvas."""

    image: Annotated[npt.NDArray[np.uint8], Array("uint8", "H W 3")]
    mask: Mask
    """Nonzero where a frame covers the canvas."""
    origin: tuple[int, int]
    canvas_size: tuple[int, int]
    """(width, height), pixels."""
    num_frames: int
