"""Measures posestream beside its peers and its ceilings, and keeps the record.

    python tools/benchmark.py SUITE... [--data DIR] [--device auto|cpu|cuda] [--repeats N] [--quick]
    python tools/benchmark.py report [--check]

Suites: detect, features, tracking, match, pose, links, pipeline, profile, live, memory, streams.
Each prints a table and appends a line to benchmarks.jsonl, but for a quick one, whose figures mean
nothing. `report` writes the tables of BENCHMARKS.md from the last full record of each suite and
device; `--check` only says whether they are up to date.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

from benchmarks import SUITES
from benchmarks.measure import NotMeasuredError, reason_of, say
from benchmarks.page import PageError, rewritten, section
from benchmarks.record import (
    RECORD_FILE,
    ROOT,
    Findings,
    Record,
    Row,
    append,
    load,
    make_record,
)
from benchmarks.settings import Settings

from pipeline.errors import PosestreamError

PAGE = ROOT / "BENCHMARKS.md"
REPORT = "report"


def measure(suite: str, settings: Settings) -> Record:
    """Run a suite and return its record."""
    say(f"suite {suite}")
    try:
        findings: Findings = importlib.import_module(SUITES[suite]).run(settings)
    except (NotMeasuredError, ImportError, PosestreamError) as error:
        findings = Findings([Row(suite, missing=reason_of(error))])
    command = command_of(suite, settings)
    return make_record(suite, findings, command, device_name(settings.device), quick=settings.quick)


def command_of(suite: str, settings: Settings) -> str:
    """Return the command that repeats a suite, on whatever machine."""
    words = ["python tools/benchmark.py", suite, "--data DIR", f"--device {settings.device}"]
    words += [f"--repeats {settings.repeats}"]
    words += [f"--frames {settings.frames}"] if settings.frames else []
    return " ".join(words + (["--quick"] if settings.quick else []))


def device_name(device: str) -> str:
    """Return cpu, or the name of the GPU."""
    if device == "cpu":
        return device
    import torch

    return torch.cuda.get_device_name()


def find_device(asked: str) -> str:
    """Return cpu or cuda; auto takes a GPU where there is one."""
    if asked == "cpu":
        return asked
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if asked == "cuda":
        sys.exit("--device cuda: PyTorch finds no CUDA GPU here")
    return "cpu"


def report(page: Path, record: Path, *, check: bool) -> int:
    """Rewrite the tables of the page, or only say whether they are up to date."""
    text = page.read_text()
    try:
        made = rewritten(text, load(record), SUITES)
    except PageError as error:
        print(f"{page.name}: {error}")
        return 2
    if check and made != text:
        print(f"{page.name} is not up to date: python tools/benchmark.py report")
        return 1
    if made != text:
        page.write_text(made)
    print(f"{page.name} is up to date")
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    data = Path(os.environ.get("POSESTREAM_DATA", ROOT.parent / "shared" / "data"))
    parser = argparse.ArgumentParser(description="posestream beside its peers and its ceilings.")
    parser.add_argument(
        "suites",
        nargs="+",
        choices=[*SUITES, REPORT],
        metavar="SUITE",
        help=f"{', '.join(SUITES)}; or {REPORT}",
    )
    parser.add_argument(
        "--data", type=Path, default=data, help="folder of the recordings [POSESTREAM_DATA]"
    )
    parser.add_argument(
        "--device",
        choices=["auto", "cpu", "cuda"],
        default="auto",
        help="where networks run [auto: a GPU where there is one]",
    )
    parser.add_argument("--repeats", type=int, default=None, help="5; with --quick 1")
    parser.add_argument("--quick", action="store_true", help="only show that everything works")
    parser.add_argument("--frames", type=int, default=None, help="length of the suite memory")
    parser.add_argument("--record", type=Path, default=None, help="file to append to")
    parser.add_argument("--page", type=Path, default=PAGE, help="of report: the page")
    parser.add_argument("--check", action="store_true", help="of report: change nothing")
    options = parser.parse_args(arguments)
    if REPORT in options.suites and len(options.suites) > 1:
        parser.error("report goes by itself")
    if options.check and REPORT not in options.suites:
        parser.error("--check is of report")
    if options.repeats is not None and options.repeats < 1:
        parser.error(f"--repeats must be 1 or more, not {options.repeats}")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and keep."""
    options = parse(arguments)
    if REPORT in options.suites:
        return report(options.page, options.record or RECORD_FILE, check=options.check)
    repeats = options.repeats or (1 if options.quick else 5)
    device = find_device(options.device)
    settings = Settings(options.data.absolute(), device, repeats, options.quick, options.frames)
    keep = options.record or (None if options.quick else RECORD_FILE)
    for suite in options.suites:
        record = measure(suite, settings)
        print(section(record), flush=True)
        if keep:
            append(record, keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
