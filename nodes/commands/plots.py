"""Pictures of an evaluated run: `trajectory.png` and `errors.png`, drawn without a window.

Equal figures give equal bytes. The colours are those of Okabe and Ito, "Color universal design",
2008, which the colour-blind can tell apart.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from nodes.commands.error_plot import draw_errors
from nodes.commands.scoring import ScoredRun
from nodes.commands.trajectory_plot import draw_trajectory
from nodes.writers import StreamFiles

DPI = 130
STYLE: dict[Any, Any] = {
    "font.size": 13,
    "axes.titlesize": 14,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#E4E4E4",
    "legend.fontsize": 12,
    "legend.frameon": False,
}


def write_plots(run: Path, scored: ScoredRun) -> list[Path]:
    """Draw all streams of a run into its folder; return the files.

    A stream of which no frame was placed has no trajectory to draw.
    """
    written = []
    is_only = not any(run.glob("poses_*.jsonl"))
    for name, stream in scored.streams.items():
        files = StreamFiles(run, name, is_only)
        if stream.trajectory and stream.trajectory.is_drawable:
            path = files.path("trajectory", ".png")
            written.append(save(path, partial(draw_trajectory, stream.trajectory, stream.title)))
        written.append(save(files.path("errors", ".png"), partial(draw_errors, stream)))
    return written


def save(path: Path, draw: Callable[[], Figure]) -> Path:
    """Draw a picture in the project's style, whatever the user's own is, into a PNG."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        draw().savefig(path, dpi=DPI, metadata={"Software": None})
    return path
