"""Points carried from one view to the other by a homography, with their errors and derivatives.

`rays0` and `rays1` are (M, 2) float64, normalised coordinates, row by row a match; `focal` is
(fx, fy) in pixels. A homography G_1_0 (3, 3) acts on normalised coordinates: a rotation is its own,
and H_1_0 = K G_1_0 K^-1 acts on pixels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]

FAR_PX = 1e6  # the error of a point that has no image


@dataclass(frozen=True, eq=False)
class Transfer:
    """Errors (M, 2) of points in units of the noise of one image, and what moves them.

    The error of a match is that of both its points; `errors` divides it by the share that view 0
    adds (Sampson's approximation, Hartley & Zisserman, 2nd ed., 4.2.6), so that with noise of
    `sigma` pixels in each coordinate of both views each column has the deviation `sigma`.
    """

    errors: Float
    derivative: Float
    """(M, 2, 3): by the vector q = G x0 (homogeneous) of each point; measured minus predicted
    falls by it."""
    rays: Float
    """(M, 3): x0, homogeneous."""

    @property
    def squared(self) -> Float:
        """Squared length of the errors (M,)."""
        return np.asarray(np.sum(self.errors**2, axis=1), np.float64)


def transfer(G_1_0: Float, rays0: Float, rays1: Float, focal: Float) -> Transfer:
    """Carry rays0 into view 1 and compare with rays1; G has a positive determinant."""
    x0 = np.column_stack([rays0, np.ones(len(rays0))])
    q = x0 @ G_1_0.T
    is_ahead = q[:, 2] > 1e-9
    depth = np.where(is_ahead, q[:, 2], 1.0)
    predicted = q[:, :2] / depth[:, None] * focal
    derivative = np.zeros((len(q), 2, 3))
    derivative[:, 0, 0], derivative[:, 1, 1] = focal[0] / depth, focal[1] / depth
    derivative[:, :, 2] = -predicted / depth[:, None]
    affine = derivative @ (G_1_0[:, :2] / focal)
    a, b, c = _inverse_root(affine)
    error = rays1 * focal - predicted
    errors = np.column_stack([a * error[:, 0], b * error[:, 0] + c * error[:, 1]])
    first, second = derivative[:, 0], derivative[:, 1]
    whitened = np.stack([a[:, None] * first, b[:, None] * first + c[:, None] * second], axis=1)
    errors[~is_ahead], whitened[~is_ahead] = FAR_PX, 0.0
    return Transfer(errors, whitened, x0)


def _inverse_root(affine: Float) -> tuple[Float, Float, Float]:
    """Return a, b, c of [[a, 0], [b, c]], which whitens errors of covariance I + A A^T."""
    xx = 1 + np.sum(affine[:, 0] ** 2, axis=1)
    xy = np.sum(affine[:, 0] * affine[:, 1], axis=1)
    yy = 1 + np.sum(affine[:, 1] ** 2, axis=1)
    root = np.sqrt(xx)
    a = 1 / root
    c = 1 / np.sqrt(np.maximum(yy - xy**2 / xx, 1e-12))
    return a, -c * xy / xx, c


def cross_rows(v: Float) -> Float:
    """Return (M, 3, 3), row by row the matrix of d(Exp(w) v) / dw = -[v]x at w = 0."""
    zero = np.zeros(len(v))
    x, y, z = v.T
    return np.stack([zero, z, -y, -z, zero, x, y, -x, zero], axis=1).reshape(-1, 3, 3)
