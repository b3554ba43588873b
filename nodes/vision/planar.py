"""The motions that a homography stands for, refined together with the plane they see.

G_1_0 = R + t m^T in normalised coordinates: [R | t] is the motion T_1_0, |t| = 1, and m (3,) the
plane of camera 0, m . p0 = 1, so that m . x0 is the inverse depth of a point. Conventions of
nodes/vision/transfer.py.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from nodes.vision.covariance import m_estimate_covariance, moved_direction, tangent_basis
from nodes.vision.least_squares import minimise, normal_equations
from nodes.vision.rotation import rotate
from nodes.vision.se3 import from_rotation_translation
from nodes.vision.transfer import transfer, turned

Float = npt.NDArray[np.float64]

NUM_PARAMETERS = 8
MIN_SHARE_IN_FRONT = 0.95
MIN_INVERSE_DEPTH = 1e-9


@dataclass(frozen=True, eq=False)
class PlanarMotion:
    """A rotation R_1_0 (3, 3), a unit direction t_1_0 (3,) and a plane m (3,)."""

    R: Float
    t: Float
    m: Float

    @property
    def T_1_0(self) -> Float:  # noqa: N802 the trade's name
        """The motion (4, 4)."""
        return from_rotation_translation(self.R, self.t)

    @property
    def G_1_0(self) -> Float:  # noqa: N802
        """The homography (3, 3) in normalised coordinates."""
        return np.asarray(self.R + np.outer(self.t, self.m), np.float64)

    def moved(self, change: Float) -> "PlanarMotion":
        """Apply a small change (8,): of the rotation 3, of the direction 2, of the plane 3."""
        R, t = rotate(self.R, change[:3]), moved_direction(self.t, change[3:5])
        return PlanarMotion(R, t, self.m + change[5:])


def decompose_homography(G_1_0: Float, rays0: Float) -> list[PlanarMotion]:
    """Return the motions, at most two, that leave the points of the plane in front of the cameras.

    Malis & Vargas, "Deeper understanding of the homography decomposition for vision-based control",
    INRIA 6303, 2007, as OpenCV computes it.
    """
    _, rotations, translations, normals = cv2.decomposeHomographyMat(G_1_0, np.eye(3))
    found = []
    x0 = np.column_stack([rays0, np.ones(len(rays0))])
    for R, t, n in zip(rotations, translations, normals, strict=True):
        length = float(np.linalg.norm(t))
        m = n.ravel() * length
        share = np.mean(x0 @ m > MIN_INVERSE_DEPTH)
        if length > 0 and np.linalg.det(R) > 0 and share >= MIN_SHARE_IN_FRONT:
            found.append(PlanarMotion(_float(R), _float(t).ravel() / length, _float(m)))
    return found


def refine_planar(
    start: PlanarMotion, rays0: Float, rays1: Float, focal: Float, scale: float
) -> PlanarMotion:
    """Minimise the Cauchy loss of the transfer errors over motion and plane (8 parameters)."""

    def evaluate(motion: PlanarMotion) -> tuple[Float, Float]:
        return _linearised(motion, rays0, rays1, focal)

    return minimise(start, evaluate, PlanarMotion.moved, scale)


def planar_covariance(
    motion: PlanarMotion, rays0: Float, rays1: Float, focal: Float, scale: float
) -> Float | None:
    """Return the covariance (5, 5) of rotation and direction, the plane marginalised."""
    errors, derivative = _linearised(motion, rays0, rays1, focal)
    normal, _ = normal_equations(errors, derivative, np.ones(errors.shape[1]))
    full = m_estimate_covariance(errors, normal, scale, NUM_PARAMETERS)
    return None if full is None else full[:5, :5]


def _float(array: npt.ArrayLike) -> Float:
    return np.asarray(array, np.float64)


def _linearised(
    motion: PlanarMotion, rays0: Float, rays1: Float, focal: Float
) -> tuple[Float, Float]:
    """Return errors (2, M) and how the predicted points move (8, 2, M)."""
    moved = transfer(motion.G_1_0, rays0, rays1, focal)
    x0, by_q = moved.rays, moved.derivative
    by_w = turned(by_q, motion.R @ x0)
    by_u = _along(tangent_basis(motion.t), by_q) * (motion.m @ x0)
    by_m = _along(motion.t[:, None], by_q) * x0[:, None]
    return moved.errors, np.concatenate([by_w, by_u, by_m])


def _along(directions: Float, derivative: Float) -> Float:
    """Return the derivative (k, 2, M) along some directions (3, k) of q."""
    along = directions.T @ derivative.reshape(3, -1)
    return along.reshape(-1, *derivative.shape[1:])
