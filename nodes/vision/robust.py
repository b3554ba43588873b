"""The robust estimators of poselib and OpenCV behind one set of words; the only user of poselib.

`points0` and `points1` are (M, 2) float64, finite, ideal (undistorted) pixels of one camera K, row
by row a match, at least 5. A sampler returns None where it finds nothing. Everything repeats
exactly per seed.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import poselib

from nodes.vision.se3 import from_rotation_translation
from nodes.vision.two_view import motion_in_front, normalised

Float = npt.NDArray[np.float64]

REFINE_ITERATIONS = 25
NO_ITERATIONS = {"max_iterations": 0}  # the caller refines


@dataclass(frozen=True)
class Limits:
    """What a sampler takes for an inlier, and when it ends.

    It ends after `max_iterations`, or, from `min_iterations` on, once a sample without outliers has
    been drawn with probability `confidence`.
    """

    threshold_px: float = 1.0
    min_iterations: int = 50
    max_iterations: int = 2000
    confidence: float = 0.9999

    def __post_init__(self) -> None:
        if not 0 < self.threshold_px < math.inf:
            raise ValueError(f"threshold_px must be more than 0, not {self.threshold_px}")
        if self.min_iterations < 1:
            raise ValueError(f"min_iterations must be at least 1, not {self.min_iterations}")
        if self.max_iterations < self.min_iterations:
            raise ValueError(
                f"max_iterations must be at least {self.min_iterations}, not {self.max_iterations}"
            )
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must be between 0 and 1, not {self.confidence}")


def seed_for(seed: int, stream: str, seq0: int, seq1: int) -> int:
    """Return the seed (31 bits) of a pair of frames of a stream, mixed from the seed of the run."""
    key = f"{seed}/{seq0}/{seq1}/{stream}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=4).digest(), "big") >> 1


def sample_motion_poselib(
    points0: Float, points1: Float, K: Float, limits: Limits, seed: int
) -> Float | None:
    """Find T_1_0 by poselib's LO-RANSAC over the five-point solver (Nister, PAMI 2004).

    Its score counts only points in front of both cameras, which is what tells the two motions apart
    that explain a plane.
    """
    _require_finite(points0, points1)
    ransac = {
        "max_epipolar_error": limits.threshold_px,
        "min_iterations": limits.min_iterations,
        "max_iterations": limits.max_iterations,
        "success_prob": limits.confidence,
        "seed": seed,
    }
    camera = _poselib_camera(K)
    found, _ = poselib.estimate_relative_pose(
        points0, points1, camera, camera, ransac_options(ransac), bundle_options(NO_ITERATIONS)
    )
    return _unit_motion(found.R, found.t)


def sample_motion_magsac(
    points0: Float, points1: Float, K: Float, limits: Limits, seed: int
) -> Float | None:
    """Find T_1_0 by OpenCV's MAGSAC (Barath, Matas & Noskova, CVPR 2019).

    It scores essential matrices, which do not know front from behind: a plane may mislead it.
    `limits.min_iterations` has no meaning here.
    """
    _require_finite(points0, points1)
    E_1_0, _ = cv2.findEssentialMat(points0, points1, K, K, None, None, _usac_params(limits, seed))
    if E_1_0 is None or not np.isfinite(E_1_0).all():
        return None
    return motion_in_front(
        np.asarray(E_1_0, np.float64), normalised(points0, K), normalised(points1, K)
    )


def refine_motion(
    T_1_0: Float, points0: Float, points1: Float, K: Float, loss_scale_px: float
) -> Float:
    """Minimise the Cauchy loss of the Sampson distances, from T_1_0 on."""
    _require_finite(points0, points1)
    start, camera = poselib.CameraPose(), _poselib_camera(K)
    start.R, start.t = T_1_0[:3, :3], T_1_0[:3, 3]
    options = {
        "loss_type": "CAUCHY",
        "loss_scale": loss_scale_px,
        "max_iterations": REFINE_ITERATIONS,
    }
    refined, _ = poselib.refine_relative_pose(
        points0, points1, start, camera, camera, bundle_options(options)
    )
    better = _unit_motion(refined.R, refined.t)
    return T_1_0 if better is None else better


def sample_homography(points0: Float, points1: Float, limits: Limits, seed: int) -> Float | None:
    """Find H_1_0 by OpenCV's MAGSAC (Barath, Matas & Noskova, CVPR 2019)."""
    _require_finite(points0, points1)
    H_1_0, _ = cv2.findHomography(points0, points1, _usac_params(limits, seed))
    return None if H_1_0 is None else _scaled(np.asarray(H_1_0, np.float64))


def refine_homography(H_1_0: Float, points0: Float, points1: Float) -> Float | None:
    """Minimise the squared transfer distances, from H_1_0 on."""
    _require_finite(points0, points1)
    options = bundle_options({"loss_type": "TRIVIAL", "max_iterations": REFINE_ITERATIONS})
    return _scaled(poselib.refine_homography(points0, points1, H_1_0, options)[0])


def ransac_options(options: Mapping[str, object]) -> dict[str, object]:
    """Check options of poselib's sampling by name.

    Raises:
        ValueError: poselib knows no such option.
    """
    return _known(options, poselib.RansacOptions())


def bundle_options(options: Mapping[str, object]) -> dict[str, object]:
    """Check options of poselib's refinement by name.

    Raises:
        ValueError: poselib knows no such option.
    """
    return _known(options, poselib.BundleOptions())


def _known(options: Mapping[str, object], known: Mapping[str, object]) -> dict[str, object]:
    unknown = sorted(set(options) - set(known))
    if unknown:  # poselib itself passes over them in silence
        raise ValueError(f"poselib knows no option {unknown}, only {sorted(known)}")
    return dict(options)


def _usac_params(limits: Limits, seed: int) -> Any:
    params = cv2.UsacParams()
    params.score = cv2.SCORE_METHOD_MAGSAC
    params.threshold = limits.threshold_px
    params.confidence = limits.confidence
    params.maxIterations = limits.max_iterations
    params.randomGeneratorState = seed
    params.isParallel = False  # parallel sampling does not repeat
    return params


def _poselib_camera(K: Float) -> dict[str, object]:
    params = [K[0, 0], K[1, 1], K[0, 2], K[1, 2]]
    return {"model": "PINHOLE", "width": 1, "height": 1, "params": params}


def _require_finite(*arrays: Float) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("points must be finite")


def _unit_motion(R: Float, t: Float) -> Float | None:
    """Return T with unit translation; None where it is not finite or has no direction."""
    norm = np.linalg.norm(t)
    if not (np.isfinite(R).all() and np.isfinite(norm) and norm > 0):
        return None
    return from_rotation_translation(np.asarray(R), np.asarray(t) / norm)


def _scaled(H: Float) -> Float | None:
    """Return H with H[2, 2] = 1; None where it is singular or mirrors the picture."""
    if not np.isfinite(H).all() or abs(H[2, 2]) < 1e-12:
        return None
    H = np.asarray(H / H[2, 2], np.float64)
    return H if np.linalg.det(H) > 0 else None
