"""Points from rays: two-view and multi-view triangulation, and the gates that judge a point.

A ray is (x, y) in normalised coordinates: it runs from the camera's centre through (x, y, 1).
Points that cannot be had are rows of NaN; nothing here raises for bad data.
"""

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

MIN_SINE = 1e-7  # of the angle between two rays; below it rounding alone decides the depth
MIN_DEPTH = 1e-9  # in units of the world; a point found at a camera's centre is nowhere
REFINEMENTS = 2


def triangulate_pair(T_1_0: Float, rays0: Float, rays1: Float) -> Float:
    """Find the points of two views by the midpoint weighted by inverse depths.

    Lee & Civera, "Triangulation: Why Optimize?", BMVC 2019, sections 4 and 5: as good as the
    optimal methods in reprojection, better in depth and parallax where the parallax is small.

    Args:
        T_1_0: (4, 4); its translation gives the unit of the points.
        rays0: (N, 2) normalised, of camera 0.
        rays1: (N, 2) normalised, of camera 1; row i matches rays0[i].

    Returns:
        (N, 3) float64 in the frame of camera 0; NaN where the rays are parallel, where they meet
        behind a camera, or where the translation is zero.
    """
    R, t = T_1_0[:3, :3], T_1_0[:3, 3]
    directions0 = _directions(rays0) @ R.T  # both in the frame of camera 1
    directions1 = _directions(rays1)
    sine = _norms(np.cross(directions0, directions1))
    with np.errstate(divide="ignore", invalid="ignore"):
        depths0 = (_norms(np.cross(directions1, t)) / sine)[:, None]
        depths1 = (_norms(np.cross(directions0, t)) / sine)[:, None]
        points1 = depths1 / (depths0 + depths1) * (t + depths0 * (directions0 + directions1))
        gap = _norms(t + depths0 * directions0 - depths1 * directions1)
        gap_behind = np.min(
            [
                _norms(t + sign0 * depths0 * directions0 - sign1 * depths1 * directions1)
                for sign0, sign1 in ((-1, 1), (1, -1), (-1, -1))
            ],
            axis=0,
        )
        points0 = (points1 - t) @ R
        is_sound = (sine > MIN_SINE) & (gap < gap_behind)
        is_sound &= (points0[:, 2] > MIN_DEPTH) & (points1[:, 2] > MIN_DEPTH)
    return np.where(is_sound[:, None], points0, np.nan)


def triangulate_tracks(
    T_cam_world: Float, views: Int, tracks: Int, rays: Float, num_tracks: int
) -> Float:
    """Find the points of many tracks, each seen by any number of views, from a flat list.

    The point nearest to all rays (linear; Hartley & Sturm, "Triangulation", CVIU 1997, section 5.3,
    speak of the midpoint), then Gauss-Newton steps on the squared reprojection errors in normalised
    coordinates. A step that does not make a point's error smaller is not taken.

    Args:
        T_cam_world: (V, 4, 4), the poses of the views.
        views: (O,), in [0, V), which view saw observation i.
        tracks: (O,), in [0, num_tracks), what it saw.
        rays: (O, 2) normalised, where.
        num_tracks: N.

    Returns:
        (N, 3) float64 in the world; NaN where fewer than two views saw the track, where its rays
        are parallel, or where it is behind one of its views.
    """
    T = T_cam_world[views]
    points = _nearest_to_rays(T, tracks, _directions(rays), num_tracks)
    costs = _costs(T, points, tracks, rays)
    for _ in range(REFINEMENTS):
        moved = points + _gauss_newton_step(T, points, tracks, rays)
        moved_costs = _costs(T, moved, tracks, rays)
        is_better = moved_costs < costs
        points = np.where(is_better[:, None], moved, points)
        costs = np.where(is_better, moved_costs, costs)
    return np.where(np.isfinite(costs)[:, None], points, np.nan)


def parallax_angles(centres0: Float, centres1: Float, points_world: Float) -> Float:
    """Return the angle at each point between the rays to two cameras.

    Args:
        centres0: (3,) or (N, 3), centres of cameras in the world.
        centres1: (3,) or (N, 3).
        points_world: (N, 3).

    Returns:
        (N,) radians in [0, pi]; NaN where the point is.
    """
    to0, to1 = centres0 - points_world, centres1 - points_world
    dots = np.sum(to0 * to1, axis=-1)
    return np.asarray(np.arctan2(_norms(np.cross(to0, to1)), dots), np.float64)


def reprojection_errors(T_cam_world: Float, points_world: Float, pixels: Float, K: Float) -> Float:
    """Return how far from its pixel each point is projected.

    Args:
        T_cam_world: (4, 4) of one camera, or (N, 4, 4), one a row.
        points_world: (N, 3).
        pixels: (N, 2), ideal.
        K: (3, 3), without skew.

    Returns:
        (N,) pixels; inf where the point is behind the camera or not finite.
    """
    points_cam = _in_camera(T_cam_world, points_world)
    in_front = points_cam[:, 2] > MIN_DEPTH  # False for NaN
    depths = np.where(in_front, points_cam[:, 2], 1.0)[:, None]
    projected = points_cam[:, :2] / depths * K[[0, 1], [0, 1]] + K[:2, 2]
    errors = np.hypot(*(projected - pixels).T)
    return np.where(in_front & np.isfinite(errors), errors, np.inf)


def _nearest_to_rays(T: Float, tracks: Int, directions: Float, num_tracks: int) -> Float:
    """Return the points (N, 3) with the least sum of squared distances to their rays."""
    R = T[:, :3, :3]
    centres = -np.einsum("oji,oj->oi", R, T[:, :3, 3])
    origin = centres.mean(axis=0) if len(centres) else np.zeros(3)  # far from 0 digits are lost
    d = np.einsum("oji,oj->oi", R, directions)
    across = np.eye(3) - d[:, :, None] * d[:, None, :]
    right = np.einsum("oij,oj->oi", across, centres - origin)
    normals = sums(across.reshape(-1, 9), tracks, num_tracks).reshape(-1, 3, 3)
    counts = np.maximum(np.bincount(tracks, minlength=num_tracks), 1)
    # Two rays at a small angle a give the determinant a^2 / 4.
    is_determined = np.linalg.det(normals / counts[:, None, None]) > MIN_SINE**2
    return origin + _solved(normals, sums(right, tracks, num_tracks), is_determined)


def _gauss_newton_step(T: Float, points: Float, tracks: Int, rays: Float) -> Float:
    points_cam = _in_camera(T, points[tracks])
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse_depths = 1 / points_cam[:, 2:]
        projected = points_cam[:, :2] * inverse_depths
        J = (T[:, :2, :3] - projected[:, :, None] * T[:, 2:3, :3]) * inverse_depths[:, :, None]
        gradients = np.einsum("oai,oa->oi", J, rays - projected)
        blocks = np.einsum("oai,oaj->oij", J, J)
    normals = sums(blocks.reshape(-1, 9), tracks, len(points)).reshape(-1, 3, 3)
    with np.errstate(invalid="ignore"):
        traces = np.trace(normals, axis1=1, axis2=2)
        is_determined = np.linalg.det(normals) > MIN_SINE**2 * traces**3
    return _solved(normals, sums(gradients, tracks, len(points)), is_determined)


def _costs(T: Float, points: Float, tracks: Int, rays: Float) -> Float:
    """Return the sums (N,) of squared errors; inf behind a camera, without a finite point."""
    errors = reprojection_errors(T, points[tracks], rays, np.eye(3))
    costs = np.bincount(tracks, weights=errors**2, minlength=len(points))
    return np.where(np.isfinite(points).all(axis=1), costs, np.inf)


def _solved(normals: Float, right: Float, is_determined: Bool) -> Float:
    """Solve each 3 x 3 system; NaN where it is not determined."""
    safe = np.where(is_determined[:, None, None], normals, np.eye(3))
    solved = np.linalg.solve(safe, right[:, :, None])[:, :, 0]
    return np.where(is_determined[:, None], solved, np.nan)


def sums(values: Float, groups: Int, num_groups: int) -> Float:
    """Sum the rows of `values` (O, C) by their groups (O,): (num_groups, C)."""
    columns = [np.bincount(groups, weights=c, minlength=num_groups) for c in values.T]
    return np.stack(columns, axis=1)


def _in_camera(T_cam_world: Float, points_world: Float) -> Float:
    R, t = T_cam_world[..., :3, :3], T_cam_world[..., :3, 3]
    return np.asarray((R @ points_world[:, :, None])[:, :, 0] + t, np.float64)


def _directions(rays: Float) -> Float:
    """Return unit vectors (N, 3)."""
    directions = np.column_stack([rays, np.ones(len(rays))])
    return np.asarray(directions / _norms(directions)[:, None], np.float64)


def _norms(vectors: Float) -> Float:
    return np.asarray(np.linalg.norm(vectors, axis=-1), np.float64)
