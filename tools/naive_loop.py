"""What one writes by hand: a loop of OpenCV SIFT, FLANN, ratio test, essential matrix and its pose.

    python tools/naive_loop.py DATASET [--estimator ransac|magsac|poselib] [--step N] [--seed S] ...

The peer that posestream is measured against: one thread of Python, no engine, nothing overlapped.
DATASET has frames/, intrinsics.yaml, timestamps.txt and groundtruth.txt. The errors are scored by
the project's own nodes.vision.evaluation; scoring and the reading of sidecars are not timed.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import poselib

from nodes.sources.base import GroundTruth
from nodes.sources.calibrations.reading import read_calibration
from nodes.sources.files import list_images
from nodes.sources.text_files import read_timestamps, read_tum
from nodes.vision.camera import Camera
from nodes.vision.evaluation import (
    PairError,
    pair_stamps,
    relative_pose,
    score_pair,
    summarise,
    unexplained_flow,
)
from nodes.vision.se3 import from_rotation_translation
from pipeline.errors import PosestreamError

Float = npt.NDArray[np.float64]

MIN_MATCHES = 8
CV2_METHODS = {"ransac": cv2.RANSAC, "magsac": cv2.USAC_MAGSAC}


@dataclass(frozen=True)
class Sequence:
    """A recording on disk with what is known of it."""

    images: list[Path]
    stamps_ns: npt.NDArray[np.int64]
    camera: Camera
    truth: GroundTruth


@dataclass(frozen=True)
class View:
    """What the loop keeps of a frame: keypoints (N, 2), undistorted pixels, and descriptors."""

    index: int
    points: Float
    descriptors: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """What the loop found for two frames."""

    index_prev: int
    index_cur: int
    points_prev: Float
    points_cur: Float
    T_cur_prev: Float | None


def load_sequence(folder: Path, step: int, max_frames: int | None) -> Sequence:
    """Read what stands beside the frames, and take every `step`-th of them."""
    taken = slice(0, max_frames, step)
    return Sequence(
        images=list_images(str(folder / "frames"))[taken],
        stamps_ns=np.array(read_timestamps(folder / "timestamps.txt"), np.int64)[taken],
        camera=read_calibration(folder / "intrinsics.yaml"),
        truth=read_tum(folder / "groundtruth.txt"),
    )


def run_loop(sequence: Sequence, settings: argparse.Namespace) -> list[Pair]:
    """Go through the frames, each matched to the one before it."""
    cv2.setRNGSeed(settings.seed)
    sift = cv2.SIFT.create(settings.max_keypoints)
    flann = cv2.FlannBasedMatcher({"algorithm": 1, "trees": 5}, {"checks": 50})
    pairs = []
    prev = None
    for index, path in enumerate(sequence.images):
        cur = detect(sift, path, index, sequence.camera)
        if prev is not None:
            points_prev, points_cur = match(flann, prev, cur, settings.ratio)
            T_cur_prev = estimate(points_prev, points_cur, sequence.camera, settings)
            pairs.append(Pair(prev.index, cur.index, points_prev, points_cur, T_cur_prev))
        prev = cur
    return pairs


def detect(sift: Any, path: Path, index: int, camera: Camera) -> View:
    """Read a frame in grey and find its keypoints."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    found, descriptors = sift.detectAndCompute(image, None)
    points: Float = np.array([keypoint.pt for keypoint in found], np.float64).reshape(-1, 2)
    if not camera.is_ideal and len(points):
        is_fisheye = camera.model == "fisheye"
        coeffs = np.array(camera.distortion or (0.0,) * 4)
        undistort: Any = cv2.fisheye.undistortPoints if is_fisheye else cv2.undistortPoints
        undistorted = undistort(points[:, None], camera.K, coeffs, P=camera.K)
        points = np.asarray(undistorted[:, 0], np.float64)
    return View(
        index, points, np.empty((0, 128), np.float32) if descriptors is None else descriptors
    )


def match(flann: Any, prev: View, cur: View, ratio: float) -> tuple[Float, Float]:
    """Return the points (M, 2) of both frames whose descriptors pass Lowe's ratio test."""
    if min(len(prev.descriptors), len(cur.descriptors)) <= MIN_MATCHES:
        return np.empty((0, 2)), np.empty((0, 2))
    two_best = flann.knnMatch(prev.descriptors, cur.descriptors, 2)
    good = [
        two[0] for two in two_best if len(two) == 2 and two[0].distance < ratio * two[1].distance
    ]
    return prev.points[[m.queryIdx for m in good]], cur.points[[m.trainIdx for m in good]]


def estimate(
    points_prev: Float, points_cur: Float, camera: Camera, settings: argparse.Namespace
) -> Float | None:
    """Return T_cur_prev (4, 4), or None where there is none."""
    if len(points_prev) < MIN_MATCHES:
        return None
    if settings.estimator == "poselib":
        return estimate_poselib(points_prev, points_cur, camera, settings)
    return estimate_cv2(points_prev, points_cur, camera, CV2_METHODS[settings.estimator])


def estimate_poselib(
    points_prev: Float, points_cur: Float, camera: Camera, settings: argparse.Namespace
) -> Float:
    """Estimate by PoseLib's LO-RANSAC over the five-point solver."""
    pinhole = {
        "model": "PINHOLE",
        "width": camera.width,
        "height": camera.height,
        "params": [camera.fx, camera.fy, camera.cx, camera.cy],
    }
    limits = {
        "max_epipolar_error": 1.0,
        "seed": settings.seed,
        "min_iterations": settings.min_iterations,
        "max_iterations": settings.max_iterations,
    }
    pose, _ = poselib.estimate_relative_pose(points_prev, points_cur, pinhole, pinhole, limits, {})
    return from_rotation_translation(pose.R, pose.t)


def estimate_cv2(
    points_prev: Float, points_cur: Float, camera: Camera, method: int
) -> Float | None:
    """Estimate by OpenCV: the essential matrix, then the pose with most points in front."""
    E_cur_prev, mask = cv2.findEssentialMat(points_prev, points_cur, camera.K, method, 0.999, 1.0)
    if E_cur_prev is None or E_cur_prev.shape != (3, 3):
        return None
    _, R, t, _ = cv2.recoverPose(E_cur_prev, points_prev, points_cur, camera.K, mask=mask)
    return from_rotation_translation(np.asarray(R, np.float64), np.asarray(t, np.float64))


def score(sequence: Sequence, pairs: list[Pair]) -> list[PairError]:
    """Return the errors of the pairs that have ground truth."""
    stamps, poses = sequence.truth
    nearest = pair_stamps(sequence.stamps_ns, stamps)
    centre = sequence.camera.K[:2, 2]
    focal = np.diag(sequence.camera.K)[:2]
    errors = []
    for pair in pairs:
        i, j = nearest[pair.index_prev], nearest[pair.index_cur]
        if i < 0 or j < 0 or i == j:
            continue
        true_T_cur_prev = relative_pose(poses[i], poses[j])
        prev, cur = (pair.points_prev - centre) / focal, (pair.points_cur - centre) / focal
        flow = unexplained_flow(prev, cur, sequence.camera.K, true_T_cur_prev[:3, :3])
        errors.append(score_pair(pair.T_cur_prev, true_T_cur_prev, flow))
    return errors


def measure(folder: Path, settings: argparse.Namespace) -> dict[str, Any]:
    """Run the loop over a dataset and return its speed and its errors."""
    sequence = load_sequence(folder, settings.step, settings.max_frames)
    started = time.perf_counter()
    pairs = run_loop(sequence, settings)
    seconds = time.perf_counter() - started
    frames = len(sequence.images)
    return {"frames": frames, "fps": frames / seconds, **summarise(score(sequence, pairs))}


def main() -> None:
    """Print one line, or JSON."""
    parser = argparse.ArgumentParser(description="A hand-written pose loop, for comparison.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--estimator", choices=[*CV2_METHODS, "poselib"], default="poselib")
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-frames", type=int, default=None, help="frames of the recording used")
    parser.add_argument("--max-keypoints", type=int, default=1000)
    parser.add_argument("--ratio", type=float, default=0.8)
    parser.add_argument("--min-iterations", type=int, default=1000, help="poselib only")
    parser.add_argument("--max-iterations", type=int, default=100_000, help="poselib only")
    parser.add_argument("--json", action="store_true")
    settings = parser.parse_args()
    try:
        figures = measure(settings.dataset, settings)
    except FileNotFoundError as error:
        parser.exit(3, f"error: {error}\n")
    except PosestreamError as error:
        parser.exit(error.exit_code, f"error: {error}\n")
    if settings.json:
        print(json.dumps(figures))
    else:
        print(settings.dataset.name, " ".join(f"{k}={_short(v)}" for k, v in figures.items()))


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
