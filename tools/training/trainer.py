"""Runs the stages of a recipe one after the other, and goes on where it was interrupted.

A run folder holds `metrics.jsonl`, `metrics.png`, and a folder for each stage: checkpoints, a
picture, and at its end `weights.safetensors` or `labels.npz`.
"""

import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nodes.networks.devices import use_channels_last
from nodes.networks.state_dicts import load_superpoint, save_superpoint
from nodes.networks.superpoint import SuperPoint
from nodes.networks.weights import locate
from pipeline.errors import ConfigError, InputError
from training.files import write_whole
from training.journal import Journal
from training.labels import Labels, label, read_labels, write_labels
from training.learning import Learner, checkpoints, read_checkpoint
from training.network import folded, make_network
from training.photographs import Photographs
from training.pictures import draw_keypoints, save, sheet
from training.progress import Progress
from training.recipe import LabelsStage, PairsStage, Recipe, ShapesStage
from training.stages import PairsTask, ShapesTask, Surroundings, Task

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LABELS_IN_PART = 100
"""Photographs whose labels are kept in one part file until all are there."""
DRAWN = 12
"""Photographs in the picture of labels."""
COLUMNS = 4
WEIGHTS, LABELS = "weights.safetensors", "labels.npz"


@dataclass
class Trainer:
    """One training run in its folder."""

    recipe: Recipe
    photographs: Photographs | None
    out: Path
    device: torch.device
    workers: int

    def __post_init__(self) -> None:
        self.out = self.out.absolute()
        self.out.mkdir(parents=True, exist_ok=True)
        self._labels: list[Labels] = []
        self._network = self._first_network()

    def run(self, last_stage: str | None = None) -> Path:
        """Run the stages that are not done yet, up to a named one; return the last one's folder."""
        with closing(Journal(self.out / "metrics.jsonl")) as journal:
            for index, stage in enumerate(self.recipe.stages):
                folder = self._folder(index)
                if isinstance(stage, LabelsStage):
                    self._label(index, stage, folder, journal)
                else:
                    self._learn(index, stage, folder, journal)
                if stage.name == last_stage:
                    break
        return folder

    def _path(self, index: int) -> Path:
        return self.out / f"{index + 1}_{self.recipe.stages[index].name}"

    def _folder(self, index: int) -> Path:
        """Return the folder of a stage; refuse one that another recipe began."""
        folder = self._path(index)
        folder.mkdir(exist_ok=True)
        note, fingerprint = folder / "fingerprint.txt", self.recipe.fingerprint(index)
        if not note.exists():
            write_whole(note, fingerprint.encode())
        elif note.read_text() != fingerprint:
            raise ConfigError(
                f"{folder}: begun by another recipe: give another --out, or delete this folder and "
                "those of the later stages"
            )
        return folder

    def _first_network(self) -> SuperPoint:
        settings = self.recipe.network
        if settings.start is None:
            network = make_network(
                settings.widths(), batch_norm=settings.batch_norm, seed=self.recipe.seed
            )
        else:
            network = load_superpoint(locate(settings.start))
            if network.widths != settings.widths():
                raise ConfigError(f"network: {settings.start} has other widths: {network.widths}")
        network = network.to(self.device)
        use_channels_last(network)
        return network

    def _surroundings(self, index: int) -> Surroundings:
        return Surroundings(self.recipe.seed, index, self.device, PRECISIONS[self.recipe.precision])

    def _need_photographs(self) -> Photographs:
        if self.photographs is None:
            raise InputError("this recipe learns from photographs: give --images DIR")
        return self.photographs

    def _label(self, index: int, stage: LabelsStage, folder: Path, journal: Journal) -> None:
        """Label all photographs; what is there already is read."""
        names = self._need_photographs().names
        if not (folder / LABELS).exists():
            self._label_parts(index, stage, folder, journal)
        known, self._labels = read_labels(folder / LABELS)
        if known != names:
            raise InputError(f"{folder / LABELS}: of other photographs: give another --out")

    def _label_parts(self, index: int, stage: LabelsStage, folder: Path, journal: Journal) -> None:
        """Label the photographs part by part, so that an interruption loses one part only."""
        photographs, around = self._need_photographs(), self._surroundings(index)
        parts = []
        self._network.eval()
        with Progress(stage.name, len(photographs)) as progress:
            for start in range(0, len(photographs), LABELS_IN_PART):
                names = photographs.names[start : start + LABELS_IN_PART]
                parts.append(folder / f"part_{start:06d}.npz")
                if parts[-1].exists() and read_labels(parts[-1])[0] == names:
                    continue
                labels = []
                for i in range(start, start + len(names)):
                    key, image = (around.seed, index, i), photographs.read(i)
                    labels.append(label(self._network, image, stage, key, around.precision))
                    progress.update(i + 1, {"keypoints": float(len(labels[-1].scores))})
                write_labels(parts[-1], names, labels)
        labels = [one for part in parts for one in read_labels(part)[1]]
        journal.rewind(stage.name, 0)
        counts = [len(one.scores) for one in labels]
        journal.write(stage.name, len(counts), {"keypoints": float(np.median(counts))})
        drawn = np.linspace(0, len(labels) - 1, min(DRAWN, len(labels))).astype(int)
        pictures = [draw_keypoints(photographs.read(i), labels[i].keypoints) for i in drawn]
        save(folder / "keypoints.png", sheet(pictures, COLUMNS))
        write_labels(folder / LABELS, photographs.names, labels)
        for part in parts:
            part.unlink()

    def _learn(
        self, index: int, stage: ShapesStage | PairsStage, folder: Path, journal: Journal
    ) -> None:
        """Train, unless it is done; the network holds what was learnt."""
        if (folder / WEIGHTS).exists():
            known = checkpoints(folder)
            if not known:
                raise InputError(f"{folder}: no checkpoint: delete {WEIGHTS} to do the stage again")
            self._network.load_state_dict(read_checkpoint(known[-1])["network"])
            return
        task = self._task(index, stage)
        Learner(self._network, task, folder, journal).run(
            self.recipe.checkpoint_every, self.workers
        )
        self._network.eval()
        save(folder / "keypoints.png", sheet(task.pictures(self._network), COLUMNS))
        notes = {"recipe": self.recipe.name, "stage": stage.name}
        if self.recipe.licence:
            notes["licence"] = self.recipe.licence
        part = folder / f"{WEIGHTS}.part"
        save_superpoint(folded(self._network), part, notes)
        part.replace(folder / WEIGHTS)

    def _task(self, index: int, stage: ShapesStage | PairsStage) -> Task:
        around = self._surroundings(index)
        if isinstance(stage, ShapesStage):
            return ShapesTask(stage, around)
        keypoints = [one.keypoints for one in self._labels]
        return PairsTask(stage, around, self._need_photographs(), keypoints)

    def go_back(self, checkpoint: Path) -> None:
        """Delete what came after a checkpoint of one of the stages, the last first.

        Raises:
            InputError: the checkpoint is not one of this run.
            ConfigError: another recipe began the run.
        """
        checkpoint = checkpoint.absolute()
        stages = self.recipe.stages
        folders = [self._path(index) for index in range(len(stages))]
        if checkpoint.parent not in folders or checkpoint not in checkpoints(checkpoint.parent):
            raise InputError(f"{checkpoint}: no checkpoint of a stage in {self.out}")
        own = folders.index(checkpoint.parent)
        for index in range(own + 1):
            self._folder(index)
        with closing(Journal(self.out / "metrics.jsonl")) as journal:
            for stage, folder in reversed(list(zip(stages, folders, strict=True))[own + 1 :]):
                shutil.rmtree(folder, ignore_errors=True)
                journal.rewind(stage.name, 0)
        (folders[own] / WEIGHTS).unlink(missing_ok=True)
        known = checkpoints(folders[own])
        for later in reversed(known[known.index(checkpoint) + 1 :]):
            later.unlink()
