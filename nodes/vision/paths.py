"""Smooth camera paths through the synthetic scene. A path gives T_world_cam for every frame number.

At speed 1 the camera moves about 5 cm and turns about 1.5 degrees from frame to frame. All paths go
on for ever, and none stands still on its way. In the tube a step is 1.5 mm.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from nodes.vision import tube
from nodes.vision.se3 import from_rotation_translation

Float = npt.NDArray[np.float64]

RADIUS_M = 0.6
STEP_RAD = 0.05 / RADIUS_M
PAN_DEG = 1.5
TUBE_STEP_M, AHEAD_M = 0.0015, 0.03
PAN_START_DEG = -44.25  # 60 frames then look 44.25 degrees to either side


def general(time: float, phase: Float) -> Float:
    """Return the pose on a circle (constant speed), bobbing, while looking round."""
    angle = STEP_RAD * time + phase[0]
    position = [
        RADIUS_M * np.cos(angle), 0.12 * np.sin(time / 7.3 + phase[1]), RADIUS_M * np.sin(angle)
    ]  # fmt: skip
    return from_rotation_translation(_looking_round(time, phase), np.array(position))


def rotation(time: float, phase: Float) -> Float:
    """Return the pose of a pan: the centre of projection stays where it is."""
    pitch, roll = 3 + 1.5 * np.sin(time / 9 + phase[1]), np.sin(time / 12 + phase[2])
    R = _looking(PAN_START_DEG + PAN_DEG * time, pitch, roll)
    return from_rotation_translation(R, np.zeros(3))


def static(time: float, phase: Float) -> Float:
    """Return the pose of a camera on a tripod."""
    return from_rotation_translation(_looking_round(0, phase), np.zeros(3))


def through_tube(time: float, phase: Float) -> Float:
    """Return the pose of an endoscope that sways along its tube, a little off the axis."""
    z = TUBE_STEP_M * time
    x, y, *_ = tube.axis(z, phase)
    x_ahead, y_ahead, *_ = tube.axis(z + AHEAD_M, phase)
    off = 0.005 * np.array([np.sin(time / 17 + phase[4]), np.cos(time / 23 + phase[4]), 0])
    yaw = np.degrees(np.arctan2(x_ahead - x, AHEAD_M)) + 10 * np.sin(time / 13 + phase[0])
    pitch = np.degrees(np.arctan2(y_ahead - y, AHEAD_M)) + 8 * np.sin(time / 19 + phase[1])
    R = _looking(yaw, pitch, 6 * np.sin(time / 29 + phase[2]))
    return from_rotation_translation(R, np.array([x, y, z]) + off)


PATHS: dict[str, Callable[[float, Float], Float]] = {
    "general": general,
    "rotation": rotation,
    "planar": general,
    "static": static,
    "tube": through_tube,
}


def _looking_round(time: float, phase: Float) -> Float:
    yaw = 18 * np.sin(time / 10.5 + phase[2])
    pitch = 6 + 4 * np.sin(time / 6.7 + phase[3])
    roll = 4 * np.sin(time / 8.3 + phase[4])
    return _looking(yaw, pitch, roll)


def _looking(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Float:
    """Return R_world_cam: to the right by yaw, then down by pitch, then clockwise by roll."""
    angles = np.array([yaw_deg, -pitch_deg, roll_deg])
    return np.asarray(Rotation.from_euler("YXZ", angles, degrees=True).as_matrix(), np.float64)
