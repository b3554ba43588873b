"""An evaluation from sets and detectors to figures."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.detectors import Contestant
from evaluation.protocol import PairFigures, evaluate_set, summarise
from evaluation.sets import HomographySet
from evaluation.timing import Image, as_vga, time_detectors
from nodes.vision.feature_evaluation import Size

Say = Callable[[str], None]

MAX_TIMED = 6
"""Images that the time is taken of."""


@dataclass(frozen=True)
class Task:
    """What to evaluate."""

    sets: Sequence[HomographySet]
    contestants: Sequence[Contestant]
    resize: Size | None = None
    num_shapes: int = 200


def evaluate(task: Task, say: Say) -> dict[str, dict[str, Any]]:
    """Return by detector: `totals`, and by `groups` and `sets` their figures, pair by pair."""
    pairs: dict[str, dict[str, list[PairFigures]]] = {c.label: {} for c in task.contestants}
    timed: list[Image] = []
    for one in task.sets:
        images, truths = one.load(task.resize)
        if len(timed) < MAX_TIMED:
            timed.append(as_vga(images[0]))
        for contestant in task.contestants:
            say(f"{one.name}: {contestant.label}")
            pairs[contestant.label][one.name] = evaluate_set(contestant, images, truths)
    results = {
        contestant.label: _figures(contestant, task.sets, pairs[contestant.label])
        for contestant in task.contestants
    }
    for label, precision in _on_shapes(task, say).items():
        results[label]["totals"]["shapes_ap"] = precision
    say("time of a VGA image")
    for label, (wall_ms, cpu_ms) in time_detectors(task.contestants, timed).items():
        results[label]["totals"] |= {"vga_ms": wall_ms, "vga_cpu_ms": cpu_ms}
    return results


def _figures(
    contestant: Contestant, sets: Iterable[HomographySet], pairs: dict[str, list[PairFigures]]
) -> dict[str, Any]:
    groups: dict[str, list[PairFigures]] = {}
    by_set = {}
    for one in sets:
        found = pairs[one.name]
        groups.setdefault(one.group, []).extend(found)
        by_set[one.name] = {
            **summarise(found),
            "by_pair": {
                f"1_{k}": asdict(figures) for k, figures in zip(one.numbers, found, strict=True)
            },
        }
    return {
        "detector": contestant.spec,
        "totals": summarise(figures for found in pairs.values() for figures in found),
        "groups": {name: summarise(found) for name, found in groups.items()},
        "sets": by_set,
    }


def _on_shapes(task: Task, say: Say) -> dict[str, float]:
    if not task.num_shapes:
        return {}
    from evaluation.drawings import make_drawings, shapes_precision

    say(f"{task.num_shapes} drawings")
    drawings = make_drawings(task.num_shapes)
    return {one.label: shapes_precision(one, drawings) for one in task.contestants}
