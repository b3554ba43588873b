"""The linear step of a bundle adjustment: poses first, with the landmarks eliminated.

Triggs, McLauchlan, Hartley & Fitzgibbon, "Bundle adjustment - a modern synthesis", 2000, section
6.1; Hartley & Zisserman, "Multiple View Geometry", 2nd edition, appendix 6.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]

MIN_CURVATURE = 1e-6  # where nothing holds a parameter, the damping still does


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """J^T J and J^T r of F free views and L landmarks; the O rows are what the free views see.

    The blocks that couple views and landmarks are the products of the two Jacobians.
    """

    J_views: Float  # (O, 2, 6), weighted
    J_landmarks: Float  # (O, 2, 3), weighted
    landmarks: Int  # (O,)
    cells: Int  # (O, 6, 3), see coupling_cells
    blocks_views: Float  # (F, 6, 6)
    blocks_landmarks: Float  # (L, 3, 3)
    gradients_views: Float  # (F, 6)
    gradients_landmarks: Float  # (L, 3)


def coupling_cells(views: Int, landmarks: Int, num_landmarks: int) -> Int:
    """Return where the block (6, 3) of each row lies in the flattened (6 F, 3 L): (O, 6, 3).

    views: (O,) in [0, F); landmarks: (O,) in [0, num_landmarks).
    """
    rows = 6 * views[:, None, None] + np.arange(6)[:, None]
    return rows * (3 * num_landmarks) + 3 * landmarks[:, None, None] + np.arange(3)


def solve(equations: NormalEquations, damping: float) -> tuple[Float, Float] | None:
    """Return the steps of the views (F, 6) and the landmarks (L, 3); None where there is none.

    With V^-1 = C^T C for the landmarks' blocks and Y = W C^T, the reduced system of the views is
    U - Y Y^T: one symmetric product of a dense (6 F, 3 L) matrix, which for a window is quicker
    than any bookkeeping of who sees what.
    """
    num_views, num_landmarks = len(equations.blocks_views), len(equations.blocks_landmarks)
    try:
        C = np.linalg.inv(np.linalg.cholesky(_damped(equations.blocks_landmarks, damping)))
        J_landmarks = equations.J_landmarks @ C[equations.landmarks].transpose(0, 2, 1)
        coupling = equations.J_views.transpose(0, 2, 1) @ J_landmarks
        size = 18 * num_views * num_landmarks
        Y = np.bincount(equations.cells.ravel(), coupling.ravel(), size)
        Y = Y.reshape(6 * num_views, 3 * num_landmarks)
        right = np.einsum("lij,lj->li", C, equations.gradients_landmarks).ravel()
        reduced = _block_diagonal(_damped(equations.blocks_views, damping)) - Y @ Y.T
        views = np.linalg.solve(reduced, Y @ right - equations.gradients_views.ravel())
    except np.linalg.LinAlgError:
        return None
    landmarks = -np.einsum("lji,lj->li", C, (right + Y.T @ views).reshape(-1, 3))
    is_sound = np.isfinite(views).all() and np.isfinite(landmarks).all()
    return (views.reshape(-1, 6), landmarks) if is_sound else None


def _damped(blocks: Float, damping: float) -> Float:
    """Add to the diagonals of blocks (B, D, D) their own values, times the damping."""
    damped = blocks.copy()
    diagonals = np.einsum("bii->bi", damped)  # a view of them
    diagonals += damping * np.maximum(diagonals, MIN_CURVATURE)
    return damped


def _block_diagonal(blocks: Float) -> Float:
    """Return blocks (B, D, D) along the diagonal of a matrix (B D, B D)."""
    num, size = blocks.shape[:2]
    matrix = np.zeros((num, size, num, size))
    matrix[np.arange(num), :, np.arange(num)] = blocks
    return matrix.reshape(num * size, num * size)
