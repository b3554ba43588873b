"""What is seen in a frame: keypoints as they come, and the tracks among them.

Pixels are those of an ideal camera K (undistorted).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
Descriptors = npt.NDArray[np.float32] | npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class View:
    """The tracks seen in one frame; row by row one observation."""

    seq: int
    ids: Int
    """(N,) tracks, ascending."""
    pixels: Float
    """(N, 2)"""
    descriptors: Descriptors | None = None
    """(N, D), where the matcher has any."""

    def where(self, is_kept: Bool) -> "View":
        """Return the view without some of its rows."""
        kept = None if self.descriptors is None else self.descriptors[is_kept]
        return View(self.seq, self.ids[is_kept], self.pixels[is_kept], kept)


@dataclass(frozen=True, eq=False)
class Seen:
    """What came of one frame: keypoints, and which of them continue those of the frame before."""

    seq: int
    K: Float
    width: int
    """Of the picture, pixels."""
    seed: int
    keypoint_ids: Int
    """(K,)"""
    keypoints: Float
    """(K, 2), finite."""
    ids_prev: Int
    """(M,) keypoints of the frame before."""
    rows: Int
    """(M,) rows of `keypoints` that match them."""
    descriptors: Descriptors | None = None
    """(K, D)"""
    is_focal_known: bool = True
    """Whether K is more than a guess."""

    def view(self, rows: Int, track_ids: Int) -> View:
        """Return the keypoints of some rows (N,) as a view of tracks (N,)."""
        order = np.argsort(track_ids)
        rows = rows[order]
        descriptors = None if self.descriptors is None else self.descriptors[rows]
        return View(self.seq, track_ids[order], self.keypoints[rows], descriptors)


def common(view0: View, view1: View) -> tuple[Int, Int]:
    """Return the rows of the tracks that both views see."""
    _, rows0, rows1 = np.intersect1d(view0.ids, view1.ids, assume_unique=True, return_indices=True)
    return rows0, rows1


def union(view: View, more: View) -> View:
    """Return the observations of two views of one frame; of the same pixel, those of `more`."""
    view = view.where(
        ~(np.isin(pixel_keys(view.pixels), pixel_keys(more.pixels)) | np.isin(view.ids, more.ids))
    )
    ids = np.concatenate([view.ids, more.ids])
    order = np.argsort(ids)
    descriptors = None
    if view.descriptors is not None and more.descriptors is not None:
        descriptors = np.concatenate([view.descriptors, more.descriptors])[order]
    pixels = np.concatenate([view.pixels, more.pixels])[order]
    return View(view.seq, ids[order], pixels, descriptors)


def pixel_keys(pixels: Float) -> npt.NDArray[np.complex128]:
    """Return one number for each pixel (N, 2): SIFT gives a point once for each orientation."""
    return np.ascontiguousarray(pixels).view(np.complex128)[:, 0]
