"""Points carried from one view to the other by a homography, with their errors and derivatives.

`rays0` and `rays1` are (M, 2) float64, normalised coordinates, row by row a match; `focal` is
(fx, fy) in pixels. A homography G_1_0 (3, 3) acts on normalised coordinates: a rotation is its own,
and H_1_0 = K G_1_0 K^-1 acts on pixels. What comes out has a row for each coordinate and a column
for each match, as nodes/vision/least_squares.py takes it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nodes.vision.two_view import columns, cross

Float = npt.NDArray[np.float64]

FAR_PX = 1e6  # the error of a point that has no image


@dataclass(frozen=True, eq=False)
class Transfer:
    """Errors (2, M) of points in units of the noise of one image, and what moves them.

    The error of a match is that of both its points; `errors` divides it by the share that view 0
    adds (Sampson's approximation, Hartley & Zisserman, 2nd ed., 4.2.6), so that with noise of
    `sigma` pixels in each coordinate of both views each row has the deviation `sigma`.
    """

    errors: Float
    derivative: Float
    """(3, 2, M): by the vector q = G x0 (homogeneous) of each point; measured minus predicted
    falls by it."""
    rays: Float
    """(3, M): x0, homogeneous."""
    carried: Float
    """(3, M): q."""

    @property
    def squared(self) -> Float:
        """Squared length of the errors (M,)."""
        return np.asarray((self.errors**2).sum(axis=0), np.float64)

    @property
    def by_rotation(self) -> Float:
        """(3, 2, M): the derivative of the predicted by a small w, where q = Exp(w) G x0."""
        return turned(self.derivative, self.carried)


def transfer(G_1_0: Float, rays0: Float, rays1: Float, focal: Float) -> Transfer:
    """Carry rays0 into view 1 and compare with rays1; G has a positive determinant."""
    x0 = columns(rays0)
    q = G_1_0 @ x0
    is_ahead = q[2] > 1e-9
    inverse = 1 / np.where(is_ahead, q[2], 1.0)
    seen = q[:2] * inverse
    ratio = focal[:, None, None] / focal[:, None]
    affine = (G_1_0[:2, :2, None] - seen[:, None] * G_1_0[2, :2, None]) * (inverse * ratio)
    whitening = _whitening(affine)
    error = (rays1.T - seen) * focal[:, None]
    errors = whitening[0] * error[0] + whitening[1] * error[1]
    derivative = np.empty((3, 2, len(rays0)))
    derivative[:2] = whitening * (focal[:, None, None] * inverse)
    derivative[2] = -derivative[0] * seen[0] - derivative[1] * seen[1]
    if not is_ahead.all():
        errors[:, ~is_ahead], derivative[..., ~is_ahead] = FAR_PX, 0.0
    return Transfer(errors, derivative, x0, q)


def turned(derivative: Float, v: Float) -> Float:
    """Turn the derivative (3, 2, M) by a vector v (3, M) into that by a small w, v = Exp(w) v."""
    return cross(v[:, None], derivative)


def _whitening(affine: Float) -> Float:
    """Return the columns (2, 2, M) of [[a, 0], [b, c]], which whitens the covariance I + A A^T.

    A is `affine` (2, 2, M).
    """
    xx, yy = 1 + affine[:, 0] ** 2 + affine[:, 1] ** 2
    xy = affine[0, 0] * affine[1, 0] + affine[0, 1] * affine[1, 1]
    found = np.zeros_like(affine)
    found[0, 0] = 1 / np.sqrt(xx)
    found[1, 1] = 1 / np.sqrt(np.maximum(yy - xy**2 / xx, 1e-12))
    found[0, 1] = -found[1, 1] * xy / xx
    return found
