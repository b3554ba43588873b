"""Follows points from one picture to the next by pyramidal Lucas-Kanade, and doubts the result.

A picture is grey, (H, W) uint8; points are (N, 2) float32, pixels. The flow of a point is how far
it moves from picture 0 to picture 1.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

Image = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]
Int = npt.NDArray[np.int64]

NUM_NEIGHBOURS = 9
MAX_SHARE_LOST = 0.5
MAX_STEPS = 20
STEP_PX = 0.03


@dataclass(frozen=True)
class Search:
    """How a patch is searched for.

    `window_px` is the side of the square patch, `levels` the number of pictures in the pyramid,
    each half the size of the one below, and `max_error_px` the largest forward-backward error of a
    point that counts as found.
    """

    window_px: int
    levels: int
    max_error_px: float


@dataclass(frozen=True, eq=False)
class Flow:
    """Where points went: `points` (N, 2); `errors` (N,) float32, pixels, infinite where lost."""

    points: Float32
    errors: Float32

    @property
    def is_found(self) -> Bool:
        """Which points (N,) were found."""
        return np.isfinite(self.errors)

    def better_of(self, other: "Flow", rows: Int) -> "Flow":
        """Return this flow with the rows (K,) replaced by `other` (K rows) where that is better."""
        points, errors = self.points.copy(), self.errors.copy()
        is_better = other.errors < errors[rows]
        points[rows[is_better]] = other.points[is_better]
        errors[rows[is_better]] = other.errors[is_better]
        return Flow(points, errors)


def follow_points(
    grey0: Image, grey1: Image, points0: Float32, guess1: Float32, search: Search
) -> Flow:
    """Find where the patches around points of picture 0 are in picture 1, there and back again.

    Bouguet, "Pyramidal implementation of the affine Lucas Kanade feature tracker" (2001), in its
    form for translations; the forward-backward error is that of Kalal, Mikolajczyk & Matas,
    "Forward-backward error: automatic detection of tracking failures", ICPR 2010, section 2. The
    way back starts from the guess, not from the answer, which would agree with itself too easily.

    Args:
        grey0: (H, W), the size of `grey1`.
        grey1: (H, W).
        points0: (N, 2).
        guess1: (N, 2), where they are expected in picture 1.
        search: how they are searched for.

    Returns:
        Their places in picture 1, and how far from its start each came back.
    """
    if not len(points0):
        return Flow(points0, np.zeros(0, np.float32))
    points1, was_found = _lucas_kanade(grey0, grey1, points0, guess1, search)
    back0, came_back = _lucas_kanade(grey1, grey0, points1, points1 + points0 - guess1, search)
    errors = np.linalg.norm(back0 - points0, axis=1)
    is_good = was_found & came_back & is_inside(points1, grey1.shape)
    is_good &= errors <= search.max_error_px
    return Flow(points1, np.where(is_good, errors, np.inf).astype(np.float32))


def follow_predicted(
    grey0: Image, grey1: Image, points0: Float32, flow: Float32, near: Search, levels: int
) -> Flow:
    """Follow points whose flow (N, 2) is roughly known, and find out where it is not.

    With a good guess few levels are best: the coarse ones mix what lies at different depths. Where
    half of the points are lost the guess was bad: those start again from no motion with all
    `levels`. What is lost in the end gets one more try from where its neighbours went.
    """
    found = follow_points(grey0, grey1, points0, points0 + flow, near)
    rows = np.flatnonzero(~found.is_found)
    if len(rows) > MAX_SHARE_LOST * len(points0):
        deep = replace(near, levels=levels)
        again = follow_points(grey0, grey1, points0[rows], points0[rows], deep)
        found = found.better_of(again, rows)
    return _with_neighbours(found, grey0, grey1, points0, flow, near)


def flow_of_neighbours(points: Float32, known: Float32, flow: Float32) -> Float32:
    """Return the median flow (N, 2) of those of `known` (K, 2) that are nearest; none without any.

    Args:
        points: (N, 2).
        known: (K, 2), points whose flow is known.
        flow: (K, 2), of them.
    """
    if not len(known) or not len(points):
        return np.zeros_like(points)
    num = min(NUM_NEIGHBOURS, len(known))
    _, rows = cKDTree(known).query(points, k=num)
    near = flow[np.reshape(rows, (len(points), num))]
    return np.asarray(np.median(near, axis=1), np.float32)


def is_inside(points: Float32, shape: tuple[int, ...]) -> Bool:
    """Return which points (N, 2) lie on a pixel of a picture (H, W); not finite ones do not."""
    limit = np.array([shape[1], shape[0]], np.float32) - np.float32(0.5)
    return np.asarray(((points > -0.5) & (points < limit)).all(axis=1), np.bool_)


def _with_neighbours(
    found: Flow, grey0: Image, grey1: Image, points0: Float32, flow: Float32, near: Search
) -> Flow:
    """Follow lost points again where their neighbours went elsewhere than was expected of them."""
    is_found = found.is_found
    moved = (found.points - points0)[is_found]
    rows = np.flatnonzero(~is_found)
    expected = flow_of_neighbours(points0[rows], points0[is_found], moved)
    is_news = np.abs(expected - flow[rows]).max(axis=1, initial=0) > near.window_px / 4
    rows, expected = rows[is_news], expected[is_news]
    again = follow_points(grey0, grey1, points0[rows], points0[rows] + expected, near)
    return found.better_of(again, rows)


def _lucas_kanade(
    grey0: Image, grey1: Image, points0: Float32, guess1: Float32, search: Search
) -> tuple[Float32, Bool]:
    """Return where points (N, 2) are in picture 1, and which were found.

    OpenCV's Python interface takes no pyramids; building them anew costs 0.3 ms at 640 x 480.
    """
    criteria = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, MAX_STEPS, STEP_PX)
    points1, was_found, _ = cv2.calcOpticalFlowPyrLK(
        grey0, grey1, points0, guess1.copy(), winSize=(search.window_px, search.window_px),
        maxLevel=search.levels - 1, criteria=criteria, flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )  # fmt: skip
    return np.asarray(points1, np.float32), np.asarray(was_found.ravel() != 0, np.bool_)
