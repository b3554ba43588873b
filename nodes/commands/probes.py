"""Questions that `posestream doctor` asks libraries, each in a process of its own.

A library that cannot be imported, takes long or crashes then only fails its own question. A probe
is a program that prints one JSON object; it writes nowhere but into the temporary folder it is in.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

QUIET = {"OPENCV_LOG_LEVEL": "SILENT", "OPENCV_FFMPEG_LOGLEVEL": "-8"}
VIDEO = """
import json, pathlib, re
import cv2, numpy as np
if not hasattr(cv2, "VideoCapture"):
    raise ImportError("cv2 is an empty folder")
info = cv2.getBuildInformation()
grey = np.add.outer(np.arange(120), np.arange(160)).astype(np.uint8)
frame = np.dstack([grey] * 3)

def writes(code, name):
    writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*code), 10.0, (160, 120))
    for _ in range(3):
        writer.write(frame)
    writer.release()
    return pathlib.Path(name).is_file() and pathlib.Path(name).stat().st_size > 500

def reads(name):
    capture = cv2.VideoCapture(name)
    found = sum(capture.read()[0] for _ in range(3))
    capture.release()
    return found == 3

codecs = {"mp4v": "a.mp4", "MJPG": "b.avi", "avc1": "c.mp4", "vp09": "d.webm"}
written = [code for code, name in codecs.items() if writes(code, name)]
print(json.dumps({
    "version": cv2.__version__,
    "ffmpeg": bool(re.search(r"FFMPEG:\\s+YES", info)),
    "written": written,
    "read": [code for code in written if reads(codecs[code])],
}))
"""
TORCH = """
import json, torch
capabilities = getattr(torch.cpu, "get_capabilities", dict)()
cuda = torch.cuda.is_available()
print(json.dumps({
    "version": torch.__version__,
    "built_for": torch.version.cuda,
    "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count() * cuda)],
    "bfloat16": bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")),
}))
"""
SOCKETS = """
import json, zmq
context = zmq.Context()
one, two = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
for socket in (one, two):
    socket.linger = 0
port = one.bind_to_random_port("tcp://127.0.0.1")
two.connect(f"tcp://127.0.0.1:{port}")
two.send(b"hello")
heard = bool(one.poll(1000)) and one.recv() == b"hello"
print(json.dumps({
    "version": zmq.zmq_version(), "pyzmq": zmq.__version__, "curve": zmq.has("curve"),
    "loopback": heard,
}))
"""


class ProbeError(Exception):
    """A probe has failed; the text says how."""


class SlowError(ProbeError):
    """A probe has not ended in time."""


def ask(program: str, deadline: float) -> dict[str, Any]:
    """Run a probe and return what it says.

    Args:
        deadline: when it has to have ended, as of `time.monotonic()`.

    Raises:
        ProbeError: it crashed, took too long, or said nothing.
    """
    limit = max(0.05, deadline - time.monotonic())
    with tempfile.TemporaryDirectory(prefix="posestream-doctor-") as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-c", program],
                cwd=folder,
                capture_output=True,
                text=True,
                env={**os.environ, **QUIET},
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SlowError(f"takes longer than {limit:.1f} s to start") from error
        except OSError as error:
            raise ProbeError(f"cannot be asked: {error.strerror}") from error
    return _answer(done)


def _answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    if done.returncode < 0:
        raise ProbeError(f"crashes: {signal.Signals(-done.returncode).name}")
    lines = done.stdout.strip().splitlines()
    try:
        found: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError) as error:
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise ProbeError(last) from error
    return found
