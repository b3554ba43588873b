"""The steps of a stage that learns, its checkpoints, and going on from the last of them."""

import math
import re
from pathlib import Path
from typing import Any

import torch

from nodes.networks.superpoint import SuperPoint
from pipeline.errors import InputError
from training.data import prefetched
from training.journal import Journal, plot
from training.progress import Progress
from training.stages import Task

WARM_UP_FROM = 0.01
END_AT = 0.01
"""Shares of the learning rate with which a stage begins and ends."""
MAX_NORM = 5.0
"""To which gradients are shortened."""
LOG_EVERY = 10
CHECKPOINT = re.compile(r"step_(\d+)\.pt")


class Learner:
    """Trains a network, on whatever device it is, for one stage."""

    def __init__(self, network: SuperPoint, task: Task, folder: Path, journal: Journal) -> None:
        self._network, self._task, self._folder, self._journal = network, task, folder, journal
        self._stage = stage = task.optimisation
        self._optimiser = torch.optim.AdamW(
            network.parameters(), lr=stage.learning_rate, weight_decay=stage.weight_decay
        )
        self._done = 0

    def run(self, checkpoint_every: int, workers: int) -> None:
        """Train until the stage ends, from its last checkpoint if there is one."""
        if known := checkpoints(self._folder):
            self._load(known[-1])
        self._journal.rewind(self._stage.name, self._done)
        self._network.train()
        steps = range(self._done, self._stage.steps)
        batches = prefetched(self._task.batch, steps, workers)
        with Progress(self._stage.name, self._stage.steps, self._done) as progress:
            for step, batch in zip(steps, batches, strict=True):
                values = self._step(step, batch)
                self._done = done = step + 1
                is_last = done == self._stage.steps
                is_validated = done % self._stage.validate_every == 0 or is_last
                if is_validated or done % LOG_EVERY == 0:
                    shown = {name: float(value) for name, value in values.items()}
                    shown["learning rate"] = self._learning_rate(step)
                    if is_validated:
                        shown |= self._task.validate(self._network)
                    self._journal.write(self._stage.name, done, shown)
                    progress.update(done, shown)
                if done % checkpoint_every == 0 or is_last:
                    self._save()

    def _step(self, step: int, batch: object) -> dict[str, torch.Tensor]:
        """Learn from one batch; return the losses."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning_rate(step)
        losses = self._task.losses(self._network, batch)
        self._optimiser.zero_grad(set_to_none=True)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._network.parameters(), MAX_NORM)
        self._optimiser.step()
        return {name: value.detach() for name, value in {**losses, "gradient": norm}.items()}

    def _learning_rate(self, step: int) -> float:
        """Return the learning rate of a step: up along a line, then down along a cosine."""
        stage = self._stage
        if step < stage.warm_up_steps:
            share = WARM_UP_FROM + (1 - WARM_UP_FROM) * step / stage.warm_up_steps
            return stage.learning_rate * share
        past = (step - stage.warm_up_steps) / max(1, stage.steps - stage.warm_up_steps)
        return stage.learning_rate * (END_AT + (1 - END_AT) * (1 + math.cos(math.pi * past)) / 2)

    def _save(self) -> None:
        """Write a checkpoint, which appears whole or not at all, and the curves so far."""
        path = self._folder / f"step_{self._done:06d}.pt"
        state = {
            "network": self._network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self._done,
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        part.replace(path)
        plot(self._journal.path, self._journal.path.with_suffix(".png"))

    def _load(self, path: Path) -> None:
        state = read_checkpoint(path)
        self._network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._done = state["step"]


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a stage in the order of their steps."""
    paths = [path for path in folder.glob("step_*.pt") if CHECKPOINT.fullmatch(path.name)]
    return sorted(paths, key=lambda path: int(path.stem.removeprefix("step_")))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint.

    Raises:
        InputError: it is damaged.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {key: state[key] for key in ("network", "optimiser", "step")}
    except Exception as error:
        raise InputError(
            f"{path}: no checkpoint: delete it to go on from the one before"
        ) from error
