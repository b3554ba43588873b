"""Kills writers of shared memory at random moments, and checks every frame that got through.

    python forced_deaths.py DEATHS SEED

Each writer is a fork that copies 1080p frames into a store of its own and names them over a pipe;
this process maps and checks them, as a consumer would, before and after the death. It writes one
line of JSON: how many died, how many of these while a copy was under way, how many frames got
through and how many of these were torn, and how much has grown of what a leak would enlarge.
"""

import gc
import json
import mmap
import os
import random
import signal
import sys
import time
from pathlib import Path

import msgspec
import numpy as np

from pipeline import shared_memory
from pipeline.shared_memory import Handle, Reader
from pipeline.store import Store
from pipeline.wire import WireError

SHAPE = (1080, 1920, 3)
LONGEST_S = 0.004  # a frame takes about as long while its memory is new
FRAMES = [
    np.random.default_rng(number).integers(0, 256, SHAPE, dtype=np.uint8) for number in range(3)
]
is_copying = np.frombuffer(mmap.mmap(-1, mmap.PAGESIZE), np.uint8)[:1]  # shared with the forks
decode = msgspec.msgpack.Decoder(Handle).decode


def write(pipe: int) -> None:
    """Copy frames until death."""
    store = Store(1, 4)
    for number in range(10**9):
        is_copying[0] = 1
        handle = store.place(FRAMES[number % len(FRAMES)].view(), 1)
        is_copying[0] = 0
        if handle is not None:
            data = msgspec.msgpack.encode(handle)
            os.write(pipe, bytes([len(data)]) + data)


def read(pipe: int, most: int, reader: Reader, counts: dict[str, int]) -> None:
    """Check the frames that are named on the pipe: so many, or all until its end."""
    for _ in range(most):
        length = os.read(pipe, 1)
        if not length:
            return
        try:
            image = reader.view(decode(os.read(pipe, length[0]))).reshape(SHAPE)
        except WireError:
            return  # the writer died before its memory was mapped
        counts["frames"] += 1
        counts["torn"] += not any(np.array_equal(image, frame) for frame in FRAMES)


def kill_one(frames: int, moment_s: float, counts: dict[str, int]) -> None:
    """Start a writer, read some frames, kill it a moment later, and read what it had still named."""
    reading, writing = os.pipe()
    is_copying[0] = 0
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            write(writing)
        finally:
            os._exit(1)
    os.close(writing)
    reader = Reader()
    read(reading, frames, reader, counts)
    time.sleep(moment_s)
    os.kill(pid, signal.SIGKILL)
    counts["deaths"] += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    counts["mid_write"] += int(is_copying[0])
    read(reading, 10**9, reader, counts)
    os.close(reading)


def footprint() -> dict[str, int]:
    """Return what a leak would enlarge."""
    gc.collect()
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "mappings": Path("/proc/self/maps").read_text().count("memfd:posestream"),
        "children": len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()),
    }


def main() -> None:
    """Let writers die, and say what came of it."""
    shared_memory.DEATH_S = 0.0  # nobody has to be named here
    deaths, rng = int(sys.argv[1]), random.Random(int(sys.argv[2]))
    counts = dict.fromkeys(("deaths", "mid_write", "frames", "torn"), 0)
    kill_one(3, 0.0, dict(counts))
    before = footprint()
    for _ in range(deaths):
        kill_one(rng.randrange(4), rng.uniform(0, LONGEST_S), counts)
    grown = {name: value - before[name] for name, value in footprint().items()}
    sys.stdout.write(json.dumps({**counts, "grown": grown}) + "\n")


if __name__ == "__main__":
    main()
