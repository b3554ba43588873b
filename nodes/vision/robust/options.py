"""Translates limits and cameras into the options of poselib and OpenCV, and checks them."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import poselib

from nodes.vision.robust.limits import Limits

Float = npt.NDArray[np.float64]

REFINE_ITERATIONS = 25
NO_ITERATIONS = {"max_iterations": 0}  # the caller refines


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


def sampling(limits: Limits, seed: int, threshold: str) -> dict[str, object]:
    """Return limits as options of poselib's sampling; `threshold` is its word for theirs."""
    return ransac_options(
        {
            threshold: limits.threshold_px,
            "min_iterations": limits.min_iterations,
            "max_iterations": limits.max_iterations,
            "success_prob": limits.confidence,
            "seed": seed,
        }
    )


def cauchy(loss_scale_px: float, max_iterations: int = REFINE_ITERATIONS) -> dict[str, object]:
    """Return the options of a refinement of the Cauchy loss."""
    return bundle_options(
        {
            "loss_type": "CAUCHY",
            "loss_scale": loss_scale_px,
            "max_iterations": max_iterations,
        }
    )


def usac_params(limits: Limits, seed: int) -> Any:
    """Return limits as OpenCV's parameters of MAGSAC; it knows no least number of samples."""
    params = cv2.UsacParams()
    params.score = cv2.SCORE_METHOD_MAGSAC
    params.threshold = limits.threshold_px
    params.confidence = limits.confidence
    params.maxIterations = limits.max_iterations
    params.randomGeneratorState = seed
    params.isParallel = False  # parallel sampling does not repeat
    return params


def pinhole(K: Float) -> dict[str, object]:
    """Return a camera in poselib's words; the size of its picture does not matter."""
    params = [K[0, 0], K[1, 1], K[0, 2], K[1, 2]]
    return {"model": "PINHOLE", "width": 1, "height": 1, "params": params}


def require_finite(*arrays: Float) -> None:
    """Refuse what the libraries would not notice.

    Raises:
        ValueError: a value is not finite.
    """
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("points must be finite")
