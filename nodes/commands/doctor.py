"""`posestream doctor`: is everything here that posestream needs, and how is it mended?"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import MissingDependencyError
from pipeline.json_lines import FLAG, emit

if TYPE_CHECKING:
    from nodes.commands.findings import Check, Finding

PROBES_S = 2.2
"""What slow libraries get to answer; with the start of the command that makes 3 s at most."""
GRACE_S = 0.3
"""What a check may take beyond its probes before it is given up."""


def doctor(
    as_json: Annotated[
        bool, typer.Option(FLAG, help="Print JSON lines (see pipeline/json_lines.py).")
    ] = False,
) -> None:
    """Check this machine: packages, codecs, GPU, sockets, cameras, disk; say how to mend it."""
    from nodes.commands import doctor_libraries, doctor_machine

    started = time.monotonic()
    findings = []
    for finding in examine([*doctor_libraries.CHECKS, *doctor_machine.CHECKS]):
        findings.append(finding)
        show(finding, as_json=as_json)
    failed = sum(finding.verdict == "FAIL" for finding in findings)
    warned = sum(finding.verdict == "warn" for finding in findings)
    code = MissingDependencyError.exit_code if failed else 0
    if as_json:
        seconds = round(time.monotonic() - started, 3)
        emit("health", failed=failed, warned=warned, seconds=seconds, exit_code=code)
    else:
        typer.echo(_verdict(failed, warned))
    raise typer.Exit(code)


def examine(checks: "Sequence[Check]") -> "Iterator[Finding]":
    """Run all checks side by side and yield their findings in order; none is waited for in vain."""
    deadline = time.monotonic() + PROBES_S
    pool = ThreadPoolExecutor(len(checks))
    answers = [pool.submit(_all, check, deadline) for check in checks]
    for check, answer in zip(checks, answers, strict=True):
        yield from _findings(check.__name__, answer, deadline + GRACE_S)
    pool.shutdown(wait=False)


def _all(check: "Check", deadline: float) -> "list[Finding]":
    return list(check(deadline))


def _findings(name: str, answer: "Future[list[Finding]]", deadline: float) -> "list[Finding]":
    from nodes.commands.findings import Finding

    try:
        return answer.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        return [Finding(name, "warn", "does not answer in time", "posestream doctor, once more")]
    except Exception as error:  # noqa: BLE001 (what cannot be looked at is a finding, too)
        return [Finding(name, "warn", f"cannot be looked at: {type(error).__name__}: {error}")]


def show(finding: "Finding", *, as_json: bool = False) -> None:
    """Print a finding: a line, and below it the cure of what is not as it should be."""
    if as_json:
        facts = {"what": finding.what, "verdict": finding.verdict}
        emit("check", **facts, text=finding.text, cure=finding.cure)
        return
    cure = f"   -> {finding.cure}" if finding.cure else ""
    typer.echo(f"{finding.verdict:<5} {finding.what:<14} {finding.text}{cure}")


def _verdict(failed: int, warned: int) -> str:
    if failed:
        return f"{failed} of these must be mended before posestream can work"
    return f"posestream can work{f' ({warned} warnings)' if warned else ''}"
