"""What `posestream doctor` looks at in Python's packages: versions, OpenCV, PyTorch, weights."""

import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from nodes.commands import probes
from nodes.commands.findings import Check, Finding, Verdict
from nodes.commands.probes import ProbeError, SlowError

PYTHONS = ((3, 11), (3, 14))
"""The first version that is supported, and the first that is not."""
OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
NOT_FOR_USERS = ("dev", "bench")
"""Extras that only development needs."""

DRIVER = Path("/dev/nvidia0")
AGAIN = "posestream doctor, once more"
LIBRARIES = "apt-get install libgl1 libglib2.0-0"
REINSTALL_OPENCV = "pip install --force-reinstall opencv-python"


def python(deadline: float) -> Iterator[Finding]:
    """Check the version of Python."""
    first, beyond = PYTHONS
    found, version = tuple(map(int, platform.python_version_tuple()[:2])), platform.python_version()
    if first <= found < beyond:
        yield Finding("Python", "ok", version)
    else:
        text = f"{version}; posestream needs {first[0]}.{first[1]} to {beyond[0]}.{beyond[1] - 1}"
        verdict: Verdict = "FAIL" if found < first else "warn"
        yield Finding("Python", verdict, text, "python3.13 -m venv .venv")


def packages(deadline: float) -> Iterator[Finding]:
    """Check that what posestream needs is installed, and say which extras are."""
    needs = [_Need.read(text) for text in metadata.requires("posestream") or ()]
    core = [need.name for need in needs if not need.extra]
    missing = [
        name for name in core if not any(map(_version, OPENCV if name in OPENCV else [name]))
    ]
    version = metadata.version("posestream")
    if missing:
        cure = f"pip install {' '.join(missing)}"
        yield Finding("packages", "FAIL", f"missing: {', '.join(missing)}", cure)
    else:
        yield Finding("packages", "ok", f"posestream {version} and the {len(core)} that it needs")
    extras = dict.fromkeys(need.extra for need in needs if need.extra not in ("", *NOT_FOR_USERS))
    for extra in extras:
        names = [need.name for need in needs if need.extra == extra]
        absent = [name for name in names if _version(name) is None]
        if absent:
            cure = f"pip install 'posestream[{extra}]'"
            yield Finding(f"extra {extra}", "ok", "not installed, which is no fault", cure)
        else:
            text = ", ".join(f"{name} {_version(name)}" for name in names)
            yield Finding(f"extra {extra}", "ok", text)


def opencv(deadline: float) -> Iterator[Finding]:
    """Check OpenCV: installed once, importable, with the codecs that videos need."""
    builds = [name for name in OPENCV if _version(name) is not None]
    if len(builds) > 1:
        text = f"{' and '.join(builds)} overwrite one another's files"
        cure = f"pip uninstall -y {' '.join(builds)} && {REINSTALL_OPENCV}"
        yield Finding("OpenCV", "FAIL", text, cure)
    try:
        found = probes.ask(probes.VIDEO, deadline)
    except SlowError as error:
        yield Finding("OpenCV", "warn", f"cv2 {error}", AGAIN)
        return
    except ProbeError as error:
        is_library = re.search(r"lib(GL|gthread|glib)", str(error))
        yield Finding("OpenCV", "FAIL", str(error), LIBRARIES if is_library else REINSTALL_OPENCV)
        return
    if not found["ffmpeg"]:
        text = f"{found['version']} was built without FFmpeg: no video can be read"
        yield Finding("OpenCV", "FAIL", text, REINSTALL_OPENCV)
        return
    yield Finding("OpenCV", "ok", f"{found['version']} with FFmpeg")
    yield _codecs(found["written"], found["read"])


def _codecs(written: list[str], read: list[str]) -> Finding:
    lost = [code for code in written if code not in read]
    if "mp4v" not in written:
        text = "mp4v cannot be written: there will be no tracks.mp4"
        return Finding("codecs", "warn", text, REINSTALL_OPENCV)
    if lost:
        text = f"{', '.join(lost)} can be written, but not read"
        return Finding("codecs", "FAIL", text, REINSTALL_OPENCV)
    return Finding("codecs", "ok", f"written and read: {', '.join(read)}")


def torch(deadline: float) -> Iterator[Finding]:
    """Check PyTorch and the devices it finds."""
    version = _version("torch")
    if version is None:
        return  # told as a missing package
    try:
        found = probes.ask(probes.TORCH, deadline)
    except SlowError:
        # It is slow to import; its version and the machine tell nearly as much.
        found = {"version": version, "gpus": [], "bfloat16": _cpu_has_bfloat16()}
        found["built_for"] = None if version.endswith("+cpu") else "CUDA"
        yield _devices(found, is_sure=False)
    except ProbeError as error:
        yield Finding("PyTorch", "FAIL", str(error), "pip install --force-reinstall torch")
    else:
        yield _devices(found, is_sure=True)


def _devices(found: Mapping[str, Any], *, is_sure: bool) -> Finding:
    has_driver = DRIVER.exists()
    on_gpu = ", ".join(found["gpus"]) or ("a GPU's driver" if has_driver else "no GPU")
    bfloat16 = "computes" if found["bfloat16"] else "does not compute"
    text = f"{found['version']}: {on_gpu}; the CPU {bfloat16} in bfloat16"
    if has_driver and found["built_for"] is None:
        cure = "pip install --force-reinstall torch"
        return Finding("PyTorch", "warn", f"{text}; this build of PyTorch is without CUDA", cure)
    if has_driver and is_sure and not found["gpus"]:
        return Finding("PyTorch", "warn", f"{text}, but PyTorch cannot use it", "nvidia-smi")
    return Finding("PyTorch", "ok", text)


def _cpu_has_bfloat16() -> bool:
    """Return what the Linux kernel says; elsewhere False."""
    cpu = Path("/proc/cpuinfo")
    flags = cpu.read_text() if cpu.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def sockets(deadline: float) -> Iterator[Finding]:
    """Check ZeroMQ, its encryption, and that a message gets through on loopback."""
    try:
        found = probes.ask(probes.SOCKETS, deadline)
    except SlowError as error:
        yield Finding("ZeroMQ", "warn", f"pyzmq {error}", AGAIN)
        return
    except ProbeError as error:
        yield Finding("ZeroMQ", "FAIL", str(error), "pip install --force-reinstall pyzmq")
        return
    text = f"libzmq {found['version']}, pyzmq {found['pyzmq']}"
    if not found["loopback"]:
        cure = "ip link set lo up, and let a firewall pass 127.0.0.1"
        yield Finding("ZeroMQ", "FAIL", f"{text}: no message comes through on 127.0.0.1", cure)
    elif not found["curve"]:
        cure = "pip install --force-reinstall pyzmq"
        yield Finding("ZeroMQ", "warn", f"{text} without CURVE: links cannot be encrypted", cure)
    else:
        yield Finding("ZeroMQ", "ok", f"{text}, CURVE, loopback")


def weights(deadline: float) -> Iterator[Finding]:
    """Check the weights that are here."""
    from nodes.networks.weights import MANIFEST, fetch_command, find, sha256, vain_folder

    if vain := vain_folder():
        yield Finding("weights", "warn", vain, "export POSESTREAM_WEIGHTS=DIR")
    here = {name: path for name, entry in MANIFEST.items() if (path := find(entry))}
    for name, entry in MANIFEST.items():
        if entry.is_shipped and name not in here:
            cure = "pip install --force-reinstall posestream"
            yield Finding("weights", "FAIL", f"{name}, a part of posestream, is missing", cure)
        elif name in here and not entry.is_shipped and sha256(here[name]) != entry.sha256:
            cure = f"rm {here[name]} && {fetch_command(entry)}"
            yield Finding("weights", "warn", f"{here[name]} is not what was published", cure)
    others = [name for name in MANIFEST if name not in here]
    text = f"here: {', '.join(here)}" + (f"; not here: {', '.join(others)}" if others else "")
    yield Finding("weights", "ok", text, "posestream weights fetch NAME" if others else "")


CHECKS: tuple[Check, ...] = (python, packages, opencv, torch, sockets, weights)
"""In the order in which they are shown."""


@dataclass(frozen=True)
class _Need:
    """One line of a distribution's requirements."""

    name: str
    extra: str

    @classmethod
    def read(cls, text: str) -> "_Need":
        name = re.split(r"[^\w.-]", text)[0]
        extra = re.search(r"""extra\s*==\s*['"]([^'"]+)""", text)
        return cls(name, extra[1] if extra else "")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
