"""Trains SuperPoint after a recipe, and goes on where it was interrupted.

    python tools/train_superpoint.py --config configs/train/NAME.yaml --images DIR
        [--out DIR] [--stage NAME] [--from CHECKPOINT] [--device auto|cpu|cuda]

The same command, given again, continues after the last checkpoint with the same losses as if it
had never stopped: to the bit on the same processor with as many threads, on a GPU as far as its
algorithms repeat. All checkpoints are kept; `--from` deletes those after it. The run folder holds
metrics.jsonl, metrics.png and a folder for each stage with its checkpoints, a picture, and
weights.safetensors, which the detectors take: `--set detector.params.options.weights=FILE`.
"""

import argparse
import os
import sys
from pathlib import Path

from pipeline.errors import PosestreamError

ROOT = Path(__file__).parent.parent


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train SuperPoint after a recipe.")
    parser.add_argument("--config", type=Path, required=True, help="recipe, see configs/train/")
    parser.add_argument("--images", type=Path, help="folder of photographs, with its subfolders")
    parser.add_argument("--out", type=Path, help="run folder [runs/train/NAME]")
    parser.add_argument("--stage", help="stop after this stage")
    parser.add_argument(
        "--from", type=Path, dest="origin", help="go back to this checkpoint, delete what is later"
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--workers", type=int, help="threads that prepare batches [CPUs]")
    return parser.parse_args(arguments)


def train(options: argparse.Namespace) -> Path:
    """Train, and return the folder of the last stage."""
    import cv2
    from evaluation.timing import all_cores
    from training.photographs import Photographs
    from training.recipe import read_recipe
    from training.trainer import Trainer

    from nodes.networks.devices import find_device

    cv2.setNumThreads(1)  # the threads that prepare batches are enough
    recipe = read_recipe(options.config)
    names = [stage.name for stage in recipe.stages]
    if options.stage is not None and options.stage not in names:
        from pipeline.errors import ConfigError

        raise ConfigError(f"--stage {options.stage}: no such stage; allowed: {', '.join(names)}")
    out = options.out or ROOT / "runs" / "train" / recipe.name
    photographs = options.images and Photographs(options.images, recipe.short_side)
    workers = options.workers or all_cores()
    device = find_device(options.device)
    if device.type == "cuda":
        repeat_exactly()
    trainer = Trainer(recipe, photographs, out, device, workers)
    if options.origin is not None:
        trainer.go_back(options.origin)
    return trainer.run(options.stage)


def repeat_exactly() -> None:
    """Let a GPU take algorithms that give the same each time, where there are such."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False


def main(arguments: list[str] | None = None) -> int:
    """Train, and say where the result lies."""
    try:
        folder = train(parse(arguments))
    except PosestreamError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the same command goes on after the last checkpoint", file=sys.stderr)
        return 130
    print(f"done: {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
