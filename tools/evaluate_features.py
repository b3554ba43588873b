"""Judges detectors on homography sets, and prints their figures in one table.

    python tools/evaluate_features.py --data DIR [--sets NAME...] --detectors NAME...
        [--max-keypoints 1000] [--resize 640x480] [--shapes 200] [--out FILE.json|FILE.md]

A set is a folder with images and files H_1_2, H_1_3, ..., or a folder of such folders, such as
HPatches; without --sets all that DIR holds. A detector is a name of posestream, with options as
NAME:key=value,key=value, such as `superpoint:weights=mine.safetensors`.
"""

import argparse
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from evaluation.detectors import create_all, find_weights_beside
from evaluation.results import Task, evaluate
from evaluation.sets import find_sets
from evaluation.tables import as_text, page, write
from evaluation.timing import all_cores, use_threads

from nodes.vision.feature_evaluation import HOMOGRAPHY_LIMITS, NUM_TRIALS, Size
from pipeline.errors import ConfigError, PosestreamError

ROOT = Path(__file__).resolve().parent.parent
SUFFIXES = (".json", ".md")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    data = Path(os.environ.get("POSESTREAM_DATA", ROOT.parent / "shared" / "data"))
    parser = argparse.ArgumentParser(description="Detectors on homography sets, in one table.")
    add = parser.add_argument
    add("--data", type=Path, default=data, help="folder of the sets [POSESTREAM_DATA]")
    add("--sets", nargs="+", default=[], metavar="NAME", help="sub-folders of it [all]")
    add(
        "--detectors",
        nargs="+",
        required=True,
        metavar="NAME[:key=value,...]",
        help="detectors, with options",
    )
    add("--max-keypoints", type=int, default=1000, help="of each image, best first [1000]")
    add("--resize", default=None, metavar="WxH", help="stretch all images to this size [no]")
    add("--shapes", type=int, default=200, help="synthetic drawings; 0 for none [200]")
    add("--threads", type=int, default=all_cores(), help="of OpenCV and PyTorch [all cores]")
    add("--out", type=Path, default=None, help="file for all figures: .json or .md")
    return parser.parse_args(arguments)


def check(options: argparse.Namespace) -> Size | None:
    """Refuse options that cannot be; return the size to resize to.

    Raises:
        ConfigError: one is out of range.
    """
    for name, least in (("max_keypoints", 1), ("shapes", 0), ("threads", 1)):
        value = getattr(options, name)
        if value < least:
            flag = name.replace("_", "-")
            raise ConfigError(f"--{flag} must be at least {least}, not {value}")
    out: Path | None = options.out
    if out and out.suffix not in SUFFIXES:
        raise ConfigError(f"--out {out}: the name must end in {' or '.join(SUFFIXES)}")
    if out and not out.absolute().parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {out.absolute().parent}; make it first")
    if options.resize is None:
        return None
    found = re.fullmatch(r"([1-9]\d{1,4})x([1-9]\d{1,4})", options.resize)
    if not found:
        raise ConfigError(
            f"--resize must be WIDTHxHEIGHT in pixels, such as 640x480, not {options.resize}"
        )
    return int(found[1]), int(found[2])


def notes_of(options: argparse.Namespace, num_sets: int) -> list[str]:
    """Return what the figures mean."""
    limits = HOMOGRAPHY_LIMITS
    size = f"stretched to {options.resize}" if options.resize else "at full size"
    threads = f"{options.threads} thread{'s' if options.threads > 1 else ''}"
    return [
        f"{num_sets} sets, images {size}; the best {options.max_keypoints} keypoints, mutual "
        "nearest neighbours, right within 3 px unless said otherwise; means over pairs. MMA: mean "
        "matching accuracy, within 1, 3 and 5 px.",
        "H: homography accuracy, mean corner error within 1, 3 and 5 px, AUC@5 its mean over all "
        f"thresholds up to 5 px; by OpenCV's MAGSAC, {limits.threshold_px:g} px, confidence "
        f"{limits.confidence:g}, at most {limits.max_iterations} samples, {NUM_TRIALS} trials a "
        "pair, each with its own seed and order of the matches.",
        "VGA: median time of 640x480 images, measured in turns, OpenCV and PyTorch with "
        f"{threads}, networks where their option device says. Shapes: average precision against "
        f"the true corners of {options.shapes} drawings of 320x240.",
    ]


def run(arguments: Sequence[str] | None) -> None:
    """Evaluate, print, and write.

    Raises:
        PosestreamError: a mistake of the user's, or something is missing.
    """
    options = parse(arguments)
    resize = check(options)
    sets = find_sets(options.data, options.sets)
    find_weights_beside(options.data)
    contestants = create_all(options.detectors, options.max_keypoints)
    use_threads(options.threads)
    results = evaluate(Task(sets, contestants, resize, options.shapes), say)
    notes = notes_of(options, len(sets))
    print(page(results, notes, as_text), end="")
    if options.out:
        words = sys.argv[1:] if arguments is None else arguments
        command = shlex.join(["python", "tools/evaluate_features.py", *words])
        write(options.out, results, notes, command)


def say(text: str) -> None:
    """Tell the user how far it has come."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; a mistake becomes one line and an exit code."""
    try:
        run(arguments)
    except PosestreamError as error:
        say(str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
