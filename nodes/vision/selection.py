"""Which kind of motion two views show: static, rotation, planar, general or lost.

The simplest model that suffices is taken (nodes/vision/models.py says what that means), if it fits
more matches than chance would (nodes/vision/significance.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nodes.vision.covariance import motion_covariance
from nodes.vision.models import (
    INLIER_SIGMAS,
    Epipolar,
    Models,
    View,
    Warp,
    fit_models,
    is_significant,
    suffices,
)
from nodes.vision.motion import (
    Motion,
    estimate_homography,
    finite_rows,
    motion_fit,
    motion_inliers,
    why_undetermined,
)
from nodes.vision.planar import (
    PlanarMotion,
    decompose_homography,
    planar_covariance,
    refine_planar,
)
from nodes.vision.robust import Limits
from nodes.vision.rotation import rotation_covariance
from nodes.vision.se3 import from_rotation_translation
from nodes.vision.turn import camera_of_turn

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

MIN_ON_PLANE = 25
FIT_SIGMAS = 4.0  # of the matches that a plane is fitted to: a cut through the noise would bias it
DECIDED = 4.0  # standard deviations by which the matches off a plane must favour one motion


@dataclass(frozen=True, eq=False)
class LabelledMotion:
    """A motion T_1_0 (4, 4) and what is known of it; the fields are those of `RelativePose`."""

    label: str
    inliers: Bool
    T_1_0: Float | None = None
    T_1_0_alt: Float | None = None
    H_1_0: Float | None = None
    covariance: Float | None = None
    reason: str | None = None


def classify_motion(
    motion: Motion,
    points0: Float,
    points1: Float,
    K: Float,
    homography_limits: Limits,
    seed: int,
    *,
    is_focal_known: bool = True,
) -> LabelledMotion:
    """Say what kind of motion the matches show, and give what can be known of it.

    Args:
        motion: what an estimator found, or why it found nothing.
        points0, points1: (M, 2) ideal pixels of one camera, row by row a match.
        K: (3, 3) of that camera.
        homography_limits: of the search for H_1_0.
        seed: of the same.
        is_focal_known: whether K is more than a guess; else a turn with any focal length is a turn.
    """
    H_1_0, _ = estimate_homography(points0, points1, homography_limits, seed)
    usable = finite_rows(points0, points1)
    view = View(points0[usable], points1[usable], K)
    reason = why_undetermined(view.points0, view.points1, "matches")
    if reason is not None:
        return LabelledMotion("lost", np.zeros(len(usable), np.bool_), H_1_0=H_1_0, reason=reason)
    models = fit_models(view, motion.T_1_0, H_1_0, motion.threshold_px, seed)
    found = _labelled(models, view, replace(motion, inliers=motion.inliers[usable]))
    if H_1_0 is not None and not is_focal_known and found.label in ("planar", "general"):
        found = _turn(H_1_0, view, models.essential, motion.threshold_px, seed) or found
    inliers = np.zeros(len(usable), np.bool_)
    inliers[usable] = found.inliers
    H_1_0 = np.eye(3) if found.label == "static" else H_1_0
    return replace(found, inliers=inliers, H_1_0=H_1_0)


def _labelled(models: Models, view: View, motion: Motion) -> LabelledMotion:
    """Return the simplest motion that suffices; rows of inliers are those of the view."""
    identity, rotation, plane = models.identity, models.rotation, models.homography
    essential = models.essential
    if _is_enough(identity, view, (rotation, plane, essential)):
        return LabelledMotion("static", identity.inliers, np.eye(4))
    if _is_enough(rotation, view, (plane, essential)):
        return _rotation(models, view)
    if plane is not None and _is_plane(plane, essential):
        found = _planar(plane, view)
        if found is not None:
            return found
    if essential is not None:
        return _general(essential.T_1_0, motion, view)
    nothing = np.zeros(len(view.points0), np.bool_)
    return LabelledMotion("lost", nothing, reason=motion.reason or "degenerate: no motion fits")


def _is_plane(plane: Warp, essential: Epipolar | None) -> bool:
    """Return whether a homography suffices; a few matches do not show that it does."""
    has_many = np.sum(plane.inliers) >= MIN_ON_PLANE or essential is None
    return bool(has_many) and suffices(plane, essential)


def _is_enough(simple: Warp, view: View, richer: Sequence[Warp | Epipolar | None]) -> bool:
    """Return whether a model suffices beside all richer ones, and is no chance."""
    return all(suffices(simple, model) for model in richer) and is_significant(simple, view)


def _rotation(models: Models, view: View) -> LabelledMotion:
    warp = models.rotation
    rows = warp.inliers
    beside = np.sqrt(2 * np.median(warp.moved.squared[rows]))
    covariance = rotation_covariance(
        warp.G_1_0, view.rays0[rows], view.rays1[rows], view.focal, warp.sigma
    )
    T_1_0 = from_rotation_translation(warp.G_1_0, np.zeros(3))
    reason = (
        f"translation_not_observable: matches move {beside:.2f} px beside the rotation, "
        f"noise {models.sigma:.2f} px"
    )
    return LabelledMotion("rotation", rows, T_1_0, covariance=covariance, reason=reason)


def _turn(
    H_1_0: Float, view: View, essential: Epipolar | None, threshold_px: float, seed: int
) -> LabelledMotion | None:
    """Return the rotation that suffices with some focal length, if there is one."""
    K = camera_of_turn(H_1_0, view.K)
    view = View(view.points0, view.points1, K)
    models = fit_models(view, None, H_1_0, threshold_px, seed)
    if not _is_enough(models.rotation, view, (models.homography, essential)):
        return None
    found = _rotation(models, view)
    return replace(found, reason=f"{found.reason}, focal length {K[0, 0]:.0f} px as for a turn")


def _general(T_1_0: Float, motion: Motion, view: View) -> LabelledMotion:
    rows, scale = motion_fit(T_1_0, view.points0, view.points1, view.K, motion.threshold_px)
    covariance = motion_covariance(T_1_0, view.rays0[rows], view.rays1[rows], view.focal, scale)
    return LabelledMotion("general", motion.inliers, T_1_0, covariance=covariance)


def _planar(plane: Warp, view: View) -> LabelledMotion | None:
    """Return the motion of a homography, and the other one if both may be; None if none."""
    rows = plane.moved.squared < (FIT_SIGMAS * plane.sigma) ** 2
    rays0, rays1 = view.rays0[rows], view.rays1[rows]
    found = decompose_homography(plane.G_1_0, rays0)
    if not found:
        return None
    # All are the same homography: what is best for one is best for the others.
    refined = refine_planar(found[0], rays0, rays1, view.focal, plane.sigma)
    found = decompose_homography(refined.G_1_0, rays0) or [refined]
    best, *others = _ranked(found, plane, view)
    covariance = planar_covariance(best, rays0, rays1, view.focal, plane.sigma)
    alternative = others[0].T_1_0 if others else None
    return LabelledMotion("planar", plane.inliers, best.T_1_0, alternative, covariance=covariance)


def _ranked(found: list[PlanarMotion], plane: Warp, view: View) -> list[PlanarMotion]:
    """Return the motions that may be, the likelier one first.

    The matches off the plane decide. Where they do not, the plane that faces the camera comes
    first: the other is mostly seen edge-on.
    """
    counts = [_num_off_plane(motion, plane, view) for motion in found]
    if len(found) > 1 and _is_decided(max(counts), min(counts)):
        return [found[int(np.argmax(counts))]]
    return sorted(found, key=lambda motion: -motion.m[2] / float(np.linalg.norm(motion.m)))


def _num_off_plane(motion: PlanarMotion, plane: Warp, view: View) -> int:
    """Return how many matches off the plane fit the motion."""
    fits = motion_inliers(
        motion.T_1_0, view.points0, view.points1, view.K, INLIER_SIGMAS * plane.sigma
    )
    return int(np.sum(fits & ~plane.inliers))


def _is_decided(more: int, fewer: int) -> bool:
    """Return whether more and fewer are not two draws from one Poisson distribution."""
    return bool(more - fewer > DECIDED * np.sqrt(more + fewer))
