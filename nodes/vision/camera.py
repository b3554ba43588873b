"""Camera models: from pixels to normalised coordinates and back.

A pixel (x, y) has (0, 0) at the centre of the top-left pixel. A point in the camera's frame has
x right, y down, z forward; its normalised coordinates are (x / z, y / z).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from nodes.vision import fisheye, radtan

Float = npt.NDArray[np.float64]
FocalSource = Literal["exif", "matches"]
Model = Literal["pinhole", "fisheye"]

_MIN_COSINE = 1e-6
"""A ray this near to 90 degrees from the axis, or beyond, has no normalised coordinates."""


@dataclass(frozen=True)
class Camera:
    """A camera with one centre, and the model of its lens.

    | model | distortion |
    |---|---|
    | pinhole | radial-tangential: k1 k2 p1 p2 [k3 ...], see `nodes/vision/radtan.py`; () is none |
    | fisheye | equidistant: k1 k2 k3 k4, see `nodes/vision/fisheye.py`; () are zeros |

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
    model: Model = "pinhole"
    calibrated: bool = True
    focal_source: FocalSource | None = None

    def __post_init__(self) -> None:
        if self.model not in ("pinhole", "fisheye"):
            raise ValueError(f"model must be pinhole or fisheye, not {self.model!r}")
        if self.model == "fisheye" and len(self.distortion) not in (0, fisheye.NUM_COEFFS):
            raise ValueError(f"distortion of a fisheye must be 0 or 4 numbers: {self.distortion}")

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

    @property
    def is_ideal(self) -> bool:
        """Whether straight lines stay straight: a pinhole without distortion."""
        return self.model == "pinhole" and not any(self.distortion)

    @property
    def ideal(self) -> Camera:
        """The camera with the same K and size that keeps straight lines straight."""
        return replace(self, model="pinhole", distortion=())

    def undistort(self, points: npt.ArrayLike) -> Float:
        """Map pixels of the image to normalised coordinates.

        Args:
            points: (N, 2) pixels.

        Returns:
            (N, 2) float64; NaN where the lens model maps no ray to that pixel, or (a fisheye) the
            ray is 90 degrees or more from the axis and has no x / z.
        """
        if self.model == "fisheye":
            rays = self.rays(points)
            depths = np.where(rays[:, 2] > _MIN_COSINE, rays[:, 2], np.nan)
            return np.asarray(rays[:, :2] / depths[:, None], np.float64)
        distorted = self._distorted(points)
        return radtan.undistort(distorted, self.distortion) if any(self.distortion) else distorted

    def rays(self, points: npt.ArrayLike) -> Float:
        """Map pixels (N, 2) to unit vectors (N, 3) of the camera's frame.

        Those of a fisheye may lead sideways or backwards; NaN where the lens model has no ray.
        """
        if self.model == "fisheye":
            return fisheye.rays(self._distorted(points), self.distortion)
        normalised = self.undistort(points)
        rays = np.column_stack([normalised, np.ones(len(normalised))])
        return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True), np.float64)

    def _distorted(self, points: npt.ArrayLike) -> Float:
        pixels = np.asarray(points, np.float64).reshape(-1, 2)
        return np.asarray((pixels - (self.cx, self.cy)) / (self.fx, self.fy), np.float64)

    def undistorted_pixels(self, points: npt.ArrayLike) -> Float:
        """Map pixels (N, 2) to where the camera `ideal` would see them; NaN as in `undistort`."""
        ideal = self.undistort(points) * (self.fx, self.fy) + (self.cx, self.cy)
        return np.asarray(ideal, np.float64)

    def project(self, points_cam: npt.ArrayLike) -> Float:
        """Map points (N, 3) of the camera's frame to pixels (N, 2), distortion included.

        NaN for a point that cannot be seen: by a pinhole, one that is not in front of it; by a
        fisheye, one beyond the angle at which its polynomial folds.
        """
        points = np.asarray(points_cam, np.float64).reshape(-1, 3)
        distorted = self._distort_points(points)
        return np.asarray(distorted * (self.fx, self.fy) + (self.cx, self.cy), np.float64)

    def _distort_points(self, points: Float) -> Float:
        if self.model == "fisheye":
            return fisheye.distort(points, self.distortion)
        depths = np.where(points[:, 2] > 0, points[:, 2], np.nan)
        normalised = np.asarray(points[:, :2] / depths[:, None], np.float64)
        return (
            radtan.distort(normalised, self.distortion)[0] if any(self.distortion) else normalised
        )

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
