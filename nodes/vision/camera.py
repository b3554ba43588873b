"""Camera models: from pixels to normalised coordinates and back.

A pixel (x, y) has (0, 0) at the centre of the top-left pixel. A point in the camera's frame has
x right, y down, z forward; its normalised coordinates are (x / z, y / z).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
FocalSource = Literal["exif", "matches"]

_MAX_NEWTON_STEPS = 20
_TOLERANCE = 1e-10  # of normalised coordinates: below 1e-6 pixels at any focal length


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with radial-tangential distortion (OpenCV's order: k1 k2 p1 p2 [k3 ...]).

    `calibrated` is False where nobody measured the camera; `focal_source` says what its focal
    length then comes from, None that it is only an assumption.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()
    model: str = "pinhole"
    calibrated: bool = True
    focal_source: FocalSource | None = None

    @classmethod
    def assumed(cls, width: int, height: int, fov_deg: float = 60.0) -> Camera:
        """Return an uncalibrated camera that sees `fov_deg` along the longer side of its image."""
        focal_px = max(width, height) / 2 / math.tan(math.radians(fov_deg) / 2)
        return cls.uncalibrated(width, height, focal_px)

    @classmethod
    def uncalibrated(
        cls, width: int, height: int, focal_px: float, focal_source: FocalSource | None = None
    ) -> Camera:
        """Return an uncalibrated camera whose principal point is the centre of its image."""
        centre = (width - 1) / 2, (height - 1) / 2
        return cls(
            width, height, focal_px, focal_px, *centre, calibrated=False, focal_source=focal_source
        )

    @property
    def is_focal_known(self) -> bool:
        """Whether the focal length is more than a guess."""
        return self.calibrated or self.focal_source is not None

    @property
    def K(self) -> Float:  # noqa: N802 the trade's name
        """(3, 3) float64, pixels."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    def undistort(self, points: npt.ArrayLike) -> Float:
        """Map pixels of the image to normalised coordinates.

        Args:
            points: (N, 2) pixels.

        Returns:
            (N, 2) float64; NaN where the lens model maps no ray to that pixel.
        """
        pixels = np.asarray(points, np.float64).reshape(-1, 2)
        distorted = (pixels - (self.cx, self.cy)) / (self.fx, self.fy)
        return _undistort(distorted, self.distortion) if any(self.distortion) else distorted

    def undistorted_pixels(self, points: npt.ArrayLike) -> Float:
        """Map pixels (N, 2) to where a camera with the same K and no distortion would see them."""
        ideal = self.undistort(points) * (self.fx, self.fy) + (self.cx, self.cy)
        return np.asarray(ideal, np.float64)

    def project(self, points_cam: npt.ArrayLike) -> Float:
        """Map points (N, 3) of the camera's frame to pixels (N, 2), distortion included.

        A point that is not in front of the camera has NaN.
        """
        points = np.asarray(points_cam, np.float64).reshape(-1, 3)
        depths = np.where(points[:, 2] > 0, points[:, 2], np.nan)
        normalised = points[:, :2] / depths[:, None]
        if any(self.distortion):
            normalised = _distort(normalised, self.distortion)[0]
        return np.asarray(normalised * (self.fx, self.fy) + (self.cx, self.cy), np.float64)

    def resized(self, width: int, height: int) -> Camera:
        """Return the camera of the image resized to width x height; (-0.5, -0.5) stays in place."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self, width=width, height=height, fx=self.fx * sx, fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5, cy=(self.cy + 0.5) * sy - 0.5,
        )  # fmt: skip

    def cropped(self, x: int, y: int, width: int, height: int) -> Camera:
        """Return the camera of the part of the image whose top-left pixel is (x, y)."""
        return replace(self, width=width, height=height, cx=self.cx - x, cy=self.cy - y)


def _distort(points: Float, distortion: tuple[float, ...]) -> tuple[Float, Float]:
    """Distort normalised coordinates (N, 2); return them and the Jacobian (N, 2, 2)."""
    if not len(points):
        return points, np.empty((0, 2, 2))
    rays = np.column_stack([points, np.ones(len(points))])
    zero = np.zeros(3)
    distorted, jacobian = cv2.projectPoints(rays, zero, zero, np.eye(3), np.array(distortion))
    # At depth 1 the derivative by the translation's x, y is that by the normalised coordinates.
    return (
        np.asarray(distorted, np.float64).reshape(-1, 2),
        np.asarray(jacobian, np.float64)[:, 3:5].reshape(-1, 2, 2),
    )


def _undistort(distorted: Float, distortion: tuple[float, ...]) -> Float:
    """Invert `_distort` by Newton's method; NaN where it has no inverse.

    Under strong barrel distortion OpenCV's fixed-point iteration ends half a pixel off.
    """
    points = distorted.copy()
    with np.errstate(all="ignore"):
        for _ in range(_MAX_NEWTON_STEPS):
            found, jacobian = _distort(points, distortion)
            residual = found - distorted
            if not np.any(np.abs(residual) > _TOLERANCE):
                break
            points -= _solve(jacobian, residual)
    # Far out the polynomial turns back: what it maps from there, or from across, is no solution.
    is_solved = np.all(np.abs(residual) <= _TOLERANCE, axis=1)
    is_unfolded = (_determinant(jacobian) > 0) & (np.sum(points * distorted, axis=1) >= 0)
    points[~(is_solved & is_unfolded)] = np.nan
    return points


def _solve(A: Float, b: Float) -> Float:
    """Solve A x = b for each of A (N, 2, 2), b (N, 2); not finite where A is singular."""
    x = A[:, 1, 1] * b[:, 0] - A[:, 0, 1] * b[:, 1]
    y = A[:, 0, 0] * b[:, 1] - A[:, 1, 0] * b[:, 0]
    return np.asarray(np.column_stack([x, y]) / _determinant(A)[:, None], np.float64)


def _determinant(A: Float) -> Float:
    return np.asarray(A[:, 0, 0] * A[:, 1, 1] - A[:, 0, 1] * A[:, 1, 0], np.float64)
