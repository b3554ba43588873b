"""Camera models: from pixels to normalised coordinates and back.

A pixel (x, y) has (0, 0) at the centre of the top-left pixel. A point in the camera's frame has
x right, y down, z forward; its normalised coordinates are (x / z, y / z).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with radial-tangential distortion (OpenCV's order: k1 k2 p1 p2 [k3 ...]).

    `calibrated` is False where the focal length is only an assumption.
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

    @property
    def K(self) -> npt.NDArray[np.float64]:
        """(3, 3) float64, pixels."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)
