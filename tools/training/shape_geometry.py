"""The plane geometry of the synthetic shapes: what crosses, covers and touches what.

Points are (N, 2) float64, (x, y) in pixels; edges are (M, 2, 2), the two ends of each; a polygon
is its corners (N, 2) in order, the last joined to the first.
"""

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

PARALLEL = 0.1  # sine of the angle under which two edges have no crossing worth a label
MIN_EDGE_PX = 8.0  # no edge of a polygon or path is shorter


def sides(polygon: Points) -> Points:
    """Return the (N, 2, 2) edges of a polygon (N, 2)."""
    return np.stack([polygon, following(polygon)], axis=1)


def following(polygon: Points) -> Points:
    """Return for each corner of polygons (..., N, 2) the next one around."""
    return np.concatenate([polygon[..., 1:, :], polygon[..., :1, :]], axis=-2)


def inset(polygon: Points, distance: float) -> Points:
    """Return `polygon` (N, 2) with every edge moved inwards by `distance`."""
    along = following(polygon) - polygon
    along /= np.maximum(_length(along), 1e-9)[:, None]
    inwards = np.stack([-along[:, 1], along[:, 0]], axis=1)
    inwards *= np.sign(_cross(polygon, following(polygon)).sum())
    before = np.concatenate([inwards[-1:], inwards[:-1]])
    both = np.maximum(1 + (before * inwards).sum(axis=1, keepdims=True), 0.02)
    return np.asarray(polygon + distance * (before + inwards) / both)


def steps(path: Points) -> Points:
    """Return the (N - 1, 2, 2) edges along an open path (N, 2)."""
    return np.stack([path[:-1], path[1:]], axis=1)


def directions(turns: npt.ArrayLike) -> Points:
    """Return the unit vectors (..., 2) at angles in radians."""
    return np.stack([np.cos(turns), np.sin(turns)], axis=-1)


def rotation(angle: float) -> Points:
    """Return the matrix (2, 2) that turns row vectors, `points @ rotation(angle)`, in radians."""
    return directions(np.array([angle, angle + np.pi / 2]))


def inside(points: Points, polygon: Points) -> npt.NDArray[np.bool_]:
    """Say which of `points` (N, 2) lie inside `polygon` (M, 2), by the even-odd rule."""
    start, end = polygon, following(polygon)
    x, y = points[:, :1], points[:, 1:]
    straddles = (start[:, 1] > y) != (end[:, 1] > y)
    rise = np.where(end[:, 1] == start[:, 1], 1.0, end[:, 1] - start[:, 1])
    at_x = start[:, 0] + (y - start[:, 1]) * (end[:, 0] - start[:, 0]) / rise
    return np.asarray((straddles & (x < at_x)).sum(axis=1) % 2 == 1)


def crossings(
    edges0: Points, edges1: Points, parallel: float = PARALLEL
) -> tuple[Points, npt.NDArray[np.int64]]:
    """Return the (K, 2) points where edges (N, 2, 2) cross edges (M, 2, 2), and which of the M.

    Edges whose angle has a sine of `parallel` or less do not count as crossing.
    """
    start0, along0 = edges0[:, None, 0], edges0[:, None, 1] - edges0[:, None, 0]
    start1, along1 = edges1[None, :, 0], edges1[None, :, 1] - edges1[None, :, 0]
    area = _cross(along0, along1)
    slanted = np.abs(area) > parallel * _length(along0) * _length(along1)
    area = np.where(slanted, area, 1.0)
    share0 = _cross(start1 - start0, along1) / area
    share1 = _cross(start1 - start0, along0) / area
    within = (np.abs(share0 - 0.5) <= 0.5) & (np.abs(share1 - 0.5) <= 0.5) & slanted
    index0, index1 = np.nonzero(within)
    points = edges0[index0, 0] + share0[within, None] * (edges0[index0, 1] - edges0[index0, 0])
    return points, index1


def runs_along(edge: Points, others: Points, near_px: float = 6.0, sine: float = 0.35) -> bool:
    """Say whether `edge` (2, 2) crosses or nears one of `others` (M, 2, 2) at a flat angle."""
    along, other_along = edge[1] - edge[0], others[:, 1] - others[:, 0]
    flat = np.abs(_cross(along, other_along)) < sine * _length(along) * _length(other_along)
    if not flat.any():
        return False
    others = others[flat]
    own = np.repeat(edge[None], len(others), axis=0)
    ends = np.concatenate([others[:, 0], others[:, 1], own[:, 0], own[:, 1]])
    gaps = _distances(ends, np.concatenate([own, own, others, others]))
    crossed = crossings(edge[None], others, parallel=0.0)[1]
    return len(crossed) > 0 or bool(gaps.min() < near_px)


def well_shaped(polygons: Points) -> npt.NDArray[np.bool_]:
    """Say which of polygons (..., N, 2) have angles of 20 to 150 degrees and edges long enough.

    A reflex angle counts by what it lacks to a full turn.
    """
    before = following(polygons) - polygons
    after = following(before)
    lengths, next_lengths = _length(before), _length(after)
    cosine = -(before * after).sum(axis=-1) / np.maximum(lengths * next_lengths, 1e-9)
    angled = (cosine < np.cos(np.deg2rad(20))) & (cosine > np.cos(np.deg2rad(150)))
    return np.asarray((angled & (lengths >= MIN_EDGE_PX)).all(axis=-1))


def shortest(path: Points) -> float:
    """Return the length of the shortest step of an open path (N, 2)."""
    return float(_length(np.diff(path, axis=0)).min())


def _distances(points: Points, edges: Points) -> Points:
    """Return the distances of points (N, 2) to edges (N, 2, 2), each to its own."""
    along = edges[:, 1] - edges[:, 0]
    share = ((points - edges[:, 0]) * along).sum(axis=1) / (along**2).sum(axis=1)
    return _length(points - edges[:, 0] - np.clip(share, 0, 1)[:, None] * along)


def _cross(a: Points, b: Points) -> Points:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


def _length(vectors: Points) -> Points:
    return np.asarray(np.hypot(vectors[..., 0], vectors[..., 1]))
