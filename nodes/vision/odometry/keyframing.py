"""When a frame becomes a keyframe, and the reason that is told."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nodes.vision.odometry.local_map import LocalMap
from nodes.vision.odometry.view import View
from nodes.vision.se3 import inverse
from nodes.vision.triangulation import parallax_angles

Float = npt.NDArray[np.float64]

SAFE_LANDMARKS = 60
"""With fewer, a keyframe that is due is made at once, whatever the budget says."""
MAX_CREDIT, MIN_CREDIT = 2.0, -1.0


@dataclass(frozen=True)
class Rules:
    """When a frame is placed, and when it becomes a keyframe."""

    min_landmarks: int = 15
    min_inlier_share: float = 0.4
    keyframe_parallax_deg: float = 2.0
    keyframe_min_tracked: float = 0.7
    keyframe_budget: float = 0.5
    """Keyframes a frame in the long run: they cost most of the time."""
    search_radius_px: float = 6.0


class Budget:
    """Counts how many keyframes are allowed: `share` for each frame, a few at once."""

    def __init__(self, share: float) -> None:
        self._share, self._credit = share, 1.0

    def pass_frame(self) -> None:
        """Earn the share of one frame."""
        self._credit = min(self._credit + self._share, MAX_CREDIT)

    def spend(self) -> None:
        """Pay for a keyframe."""
        self._credit = max(self._credit - 1, MIN_CREDIT)

    @property
    def allows(self) -> bool:
        """Whether another keyframe is paid for."""
        return self._credit >= 1


def why_keyframe(
    local_map: LocalMap, view: View, T_cam_world: Float, rules: Rules, budget: Budget
) -> str | None:
    """Return why a frame becomes a keyframe, and pay for it; None where it does not.

    Too few landmarks of the last keyframe are left, or they are seen from another side. Where
    tracking is about to fail the budget does not count.
    """
    last = local_map.keyframes[-1]
    points = _landmarks(local_map, view)
    num_last = len(_landmarks(local_map, last.view))
    share = len(points) / max(num_last, 1)
    is_due = share < rules.keyframe_min_tracked
    is_urgent = is_due and (len(points) < SAFE_LANDMARKS or share < rules.keyframe_min_tracked / 2)
    if not (is_urgent or budget.allows):
        return None
    centre = inverse(T_cam_world)[:3, 3]
    parallax_deg = float(np.degrees(np.median(parallax_angles(last.centre, centre, points))))
    if not is_due and parallax_deg < rules.keyframe_parallax_deg:
        return None
    budget.spend()
    return (
        f"{len(points)} of {num_last} landmarks left"
        if is_due
        else f"parallax {parallax_deg:.1f} deg"
    )


def _landmarks(local_map: LocalMap, view: View) -> Float:
    """Return the landmarks (L, 3) that a view shows."""
    points = local_map.positions(view.ids)
    return points[np.isfinite(points[:, 0])]
