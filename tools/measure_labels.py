"""Measures motion labels and covariances on synthetic pairs, and prints Markdown tables.

    python tools/measure_labels.py [--each 200] [--rotations 10000] [--scenes 500]

The pairs are those of tests/motion_pairs.py (seed 7): noise, outliers, parallax and cameras vary.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from motion_pairs import LABELS, LabelledPair, make_pair, make_pairs  # noqa: E402
from two_view_scene import VGA, make_scene  # noqa: E402

from nodes.estimators.lo_ransac import LoRansac  # noqa: E402
from nodes.vision.covariance import squared_error  # noqa: E402
from nodes.vision.robust import Limits  # noqa: E402
from nodes.vision.selection import LabelledMotion, classify_motion  # noqa: E402

Float = npt.NDArray[np.float64]

SEED = 7
HOMOGRAPHY = Limits(3.0, max_iterations=1000)
MOVING = ("planar", "general")
NOISES_PX, OUTLIERS = (0.3, 0.5, 1.0), (0.0, 0.2, 0.4)
SCENES: Mapping[str, dict[str, float]] = {
    "rotation": {},
    "general": {},
    "planar": {"plane_fraction": 1.0},
}


def label(points0: Float, points1: Float, K: Float) -> LabelledMotion:
    """Do what the node `pose` does with its default settings."""
    motion = LoRansac().estimate(points0, points1, K, SEED)
    return classify_motion(motion, points0, points1, K, HOMOGRAPHY, SEED)


def label_pair(pair: LabelledPair) -> str:
    """Return the label that a pair gets."""
    return label(pair.points0, pair.points1, pair.camera.K).label


def label_table(num_of_each: int) -> Iterator[str]:
    """Yield the lines of a table: true labels against those found."""
    found: dict[str, Counter[str]] = {name: Counter() for name in LABELS}
    published = [0, 0]
    for pair in make_pairs(SEED, num_of_each):
        name = label_pair(pair)
        found[pair.label][name] += 1
        if pair.label == "general" and pair.parallax_px >= 2:
            published[0] += name in MOVING
            published[1] += 1
    yield "| truth | " + " | ".join(LABELS) + " |"
    yield "|---|" + "---:|" * len(LABELS)
    for truth, counts in found.items():
        yield f"| {truth} | " + " | ".join(str(counts[name]) for name in LABELS) + " |"
    right = sum(found[name][name] for name in LABELS) / (num_of_each * len(LABELS))
    yield f"\nRight: {right:.1%}."
    yield f"General pairs of 2 px or more with a translation: {published[0]} of {published[1]}."


def false_translations(num_rotations: int) -> str:
    """Return how many of many pure rotations get a translation."""
    seeds = (np.random.default_rng([SEED, 1, i]) for i in range(num_rotations))
    num = sum(label_pair(make_pair("rotation", rng)) in MOVING for rng in seeds)
    return f"Pure rotations with a translation: {num} of {num_rotations}."


def error_table(num_scenes: int) -> Iterator[str]:
    """Yield the lines of a table: normalised errors squared, by kind, noise and outliers."""
    yield "| kind | noise | outliers | scenes | mean error squared / expected | 95 % band |"
    yield "|---|---:|---:|---:|---:|---|"
    for kind in SCENES:
        for noise_px in NOISES_PX:
            for outliers in OUTLIERS:
                errors, size = normalised_errors(kind, noise_px, outliers, num_scenes)
                band = 1.96 * np.sqrt(2 / size / len(errors))
                yield (
                    f"| {kind} | {noise_px} px | {outliers:.0%} | {len(errors)} | "
                    f"{np.mean(errors) / size:.3f} | {1 - band:.3f} to {1 + band:.3f} |"
                )


def normalised_errors(
    kind: str, noise_px: float, outliers: float, num_scenes: int
) -> tuple[list[float], int]:
    """Return the normalised errors squared of scenes that get the right label, and their size.

    A plane whose other motion is the true one is left out.
    """
    errors, size = [], 3 if kind == "rotation" else 5
    for seed in range(num_scenes):
        rng = np.random.default_rng([SEED, 2, seed])
        turn, step = rng.uniform(-4, 4, 3), rng.normal(size=3)
        step *= 0.0 if kind == "rotation" else 0.4 / np.linalg.norm(step)
        scene = make_scene(
            int(rng.integers(2**31)), rotation_deg=tuple(turn), translation=tuple(step),
            noise_px=noise_px, outlier_fraction=outliers, **SCENES[kind],
        )  # fmt: skip
        found = label(*scene.ideal, VGA.K)
        if found.label != kind or is_other_nearer(found, scene.T_cur_prev[:3, 3]):
            continue
        if found.T_1_0 is not None and found.covariance is not None:
            errors.append(squared_error(found.T_1_0, found.covariance, scene.T_cur_prev))
    return errors, size


def is_other_nearer(found: LabelledMotion, true_t: Float) -> bool:
    """Return whether the other motion of a plane has the truer direction."""
    if found.T_1_0 is None or found.T_1_0_alt is None:
        return False
    return bool(found.T_1_0_alt[:3, 3] @ true_t > found.T_1_0[:3, 3] @ true_t)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Motion labels and covariances, measured.")
    parser.add_argument("--each", type=int, default=200, help="pairs of each kind")
    parser.add_argument("--rotations", type=int, default=10_000, help="pure rotations")
    parser.add_argument("--scenes", type=int, default=500, help="scenes of each row of errors")
    options = parser.parse_args()
    print("\n".join(label_table(options.each)))
    print(false_translations(options.rotations))
    print("\n" + "\n".join(error_table(options.scenes)))


if __name__ == "__main__":
    main()
