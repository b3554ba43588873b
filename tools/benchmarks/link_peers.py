"""Two processes linked without posestream: imagezmq (REQ/REP), and multiprocessing.Queue."""

import multiprocessing
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.link_work import Clock, Schedule, produce, read, values
from benchmarks.measure import NotMeasuredError, Values

TIMEOUT_S = 60.0
QUEUE_SIZE = 4  # as many frames as a link of posestream has under way
SPAWN = multiprocessing.get_context("spawn")


def imagezmq_values(schedule: Schedule, carrier: str) -> Values:
    """Send all frames through imagezmq over tcp or ipc."""
    import imagezmq
    import zmq

    with tempfile.TemporaryDirectory() as folder:
        where = f"ipc://{folder}/link" if carrier == "ipc" else "tcp://127.0.0.1:*"

        def send_all(endpoint: str) -> None:
            sender = imagezmq.ImageSender(endpoint)
            sender.zmq_socket.setsockopt(zmq.RCVTIMEO, int(1e3 * TIMEOUT_S))
            for seq, done_ns, frame in produce(schedule):
                clock.begin_after(seq)
                sender.send_image((seq, done_ns), frame)
            sender.close()

        clock = Clock(schedule)
        sink = _against(_imagezmq_reader, (schedule, where), send_all)
    clock.end()
    return values(clock.as_dict(), sink, schedule)


def _imagezmq_reader(results: Connection, schedule: Schedule, where: str) -> None:
    import imagezmq
    import zmq

    hub, clock = imagezmq.ImageHub(where), Clock(schedule)
    results.send(hub.zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT))
    for _ in range(schedule.total):
        (seq, done_ns), image = hub.recv_image()
        read(image, seq)
        clock.passed(seq, done_ns)
        hub.send_reply(b"OK")
    results.send(clock.as_dict())
    hub.close()


def queue_values(schedule: Schedule) -> Values:
    """Send all frames through a multiprocessing.Queue."""
    queue = SPAWN.Queue(QUEUE_SIZE)

    def send_all(_: str) -> None:
        for seq, done_ns, frame in produce(schedule):
            clock.begin_after(seq)
            queue.put((seq, done_ns, frame), timeout=TIMEOUT_S)

    clock = Clock(schedule)
    sink = _against(_queue_reader, (schedule, queue), send_all)
    clock.end()
    queue.close()
    queue.join_thread()
    return values(clock.as_dict(), sink, schedule)


def _queue_reader(results: Connection, schedule: Schedule, queue: Any) -> None:
    clock = Clock(schedule)
    results.send("ready")
    for _ in range(schedule.total):
        seq, done_ns, image = queue.get(timeout=TIMEOUT_S)
        read(image, seq)
        clock.passed(seq, done_ns)
    results.send(clock.as_dict())


def _against(
    reader: Callable[..., None], arguments: tuple[Any, ...], send_all: Callable[[str], None]
) -> dict[str, object]:
    """Start a reading process, send it everything, and return what it noted."""
    results, theirs = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=reader, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        send_all(_hear(results))
        noted: dict[str, object] = _hear(results)
    finally:
        process.join(5.0)
        if process.is_alive():
            process.kill()
            process.join()
        results.close()
    return noted


def _hear(results: Connection) -> Any:
    if not results.poll(TIMEOUT_S):
        raise NotMeasuredError("the reading process does not answer")
    try:
        return results.recv()
    except EOFError:
        raise NotMeasuredError("the reading process has ended early") from None
