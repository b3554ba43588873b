"""A small world to train in: a few photographs of drawings, and a recipe of few steps."""

from pathlib import Path
from types import ModuleType

import cv2
import numpy as np

RECIPE = """
name: tiny
seed: 3
short_side: 72
checkpoint_every: 2
network: {blocks: [4, 4, 8, 8], heads: 8, descriptor: 8}
stages:
  - {type: shapes, name: shapes, steps: 4, batch: 2, size: [48, 64], validate_every: 4}
  - {type: labels, name: labels, homographies: 2, spread: {rotation_deg: 20}, threshold: 0.001}
  - type: pairs
    name: joint
    steps: 4
    batch: 2
    size: [48, 64]
    points: 40
    success_weight: 0.1
    first: {rotation_deg: 10}
    second: {rotation_deg: 40, scale: 1.2, perspective: 0.1}
"""


def write_photographs(folder: Path, shapes: ModuleType, count: int = 20) -> Path:
    """Write drawings of two sizes as photographs."""
    folder.mkdir(parents=True)
    for i in range(count):
        size = (96, 128) if i % 2 else (64, 72)
        image = shapes.draw(np.random.default_rng(i), size, "polygons").image
        cv2.imwrite(str(folder / f"picture_{i:02d}.png"), image)
    return folder


def write_recipe(folder: Path, text: str = RECIPE) -> Path:
    """Write a recipe file."""
    path = folder / "tiny.yaml"
    path.write_text(text)
    return path
