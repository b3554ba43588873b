"""What `posestream doctor` looks at on the machine: ports, cameras, memory, disks, limits."""

import os
import resource
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nodes.commands.findings import Check, Finding

PORTS = {5601: "publish", 5700: "hosts"}
"""The ports of the examples -> the key that they stand under."""
LEAST_FREE_GB = 1.0
LEAST_TEMPORARY_GB = 0.1
LEAST_FILES = 1024


def ports(deadline: float) -> Iterator[Finding]:
    """Check that the usual ports are free."""
    taken = [port for port in PORTS if not _is_free(port)]
    for port in taken:
        text = f"{port} is in use: `{PORTS[port]}` needs another one"
        yield Finding("ports", "warn", text, f"ss -ltnp 'sport = :{port}'")
    if not taken:
        yield Finding("ports", "ok", f"free on 127.0.0.1: {', '.join(map(str, PORTS))}")


def cameras(deadline: float) -> Iterator[Finding]:
    """Check that the cameras of this machine may be opened."""
    devices = sorted(Path("/dev").glob("video*"))
    closed = [str(path) for path in devices if not os.access(path, os.R_OK | os.W_OK)]
    if closed:
        cure = "sudo usermod -aG video $USER, then log in again"
        yield Finding("cameras", "warn", f"{', '.join(closed)}: no permission to open", cure)
    elif devices:
        yield Finding("cameras", "ok", ", ".join(map(str, devices)))
    else:
        yield Finding("cameras", "ok", "none at /dev/video*")


def shared_memory(deadline: float) -> Iterator[Finding]:
    """Check that processes can hand each other memory."""
    try:
        fd = os.memfd_create("posestream-doctor")
        try:
            os.close(os.open(f"/proc/{os.getpid()}/fd/{fd}", os.O_RDWR | os.O_CLOEXEC))
        finally:
            os.close(fd)
    except (AttributeError, OSError) as error:
        text = f"not to be had ({error}): processes copy frames through sockets"
        yield Finding("shared memory", "warn", text, "mount -t proc proc /proc")
    else:
        yield Finding("shared memory", "ok", "memfd and /proc")


def disk(deadline: float) -> Iterator[Finding]:
    """Check the room for runs and for temporary files."""
    yield _room("run folder", _existing(Path("runs").absolute()), LEAST_FREE_GB, "--out DIR")
    folder = Path(tempfile.gettempdir())
    yield _room("temporary", folder, LEAST_TEMPORARY_GB, "TMPDIR=DIR posestream ...")


def limits(deadline: float) -> Iterator[Finding]:
    """Check how many files may be open at once, sockets among them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < LEAST_FILES:
        cure = f"ulimit -n {LEAST_FILES if hard < 0 else min(4 * LEAST_FILES, hard)}"
        text = f"{soft} at once: many cameras or processes need more"
        yield Finding("open files", "warn", text, cure)
    else:
        yield Finding("open files", "ok", f"{'no limit' if soft < 0 else f'{soft} at once'}")


def screen(deadline: float) -> Iterator[Finding]:
    """Say whether there is a screen, which nothing but windows needs."""
    found = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    yield Finding("screen", "ok", found or "none, and none is needed to write videos")


def dead_runs(deadline: float) -> Iterator[Finding]:
    """Look for what runs have left that were killed; the next run removes it."""
    base = Path(tempfile.gettempdir()) / f"posestream-{os.getuid()}"
    if base.exists() and base.stat().st_uid != os.getuid():
        text = f"{base} belongs to somebody else: no run can start processes"
        yield Finding("dead runs", "FAIL", text, f"rm -r {base}")
        return
    names = [path.name for path in base.glob("*")] if base.exists() else []
    dead = [name for name in names if not _is_alive(name.partition("-")[0])]
    if dead:
        text = f"{len(dead)} socket folders, which the next run removes"
        yield Finding("dead runs", "ok", text, f"rm -r {base}")
    else:
        yield Finding("dead runs", "ok", "nothing left of any")


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _existing(path: Path) -> Path:
    """Return a folder, or the nearest above it that exists."""
    return next(folder for folder in [path, *path.parents] if folder.is_dir())


def _room(what: str, folder: Path, least_gb: float, cure: str) -> Finding:
    free_gb = shutil.disk_usage(folder).free / 1e9
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding(what, "FAIL", f"{folder} cannot be written", cure)
    if free_gb < least_gb:
        return Finding(what, "warn", f"{folder} has {free_gb:.2f} GB free", cure)
    return Finding(what, "ok", f"{folder} has {free_gb:.0f} GB free")


def _is_alive(pid: str) -> bool:
    return pid.isdigit() and Path(f"/proc/{pid}").exists() if Path("/proc").exists() else True


CHECKS: tuple[Check, ...] = (ports, cameras, shared_memory, disk, limits, screen, dead_runs)
"""In the order in which they are shown."""
