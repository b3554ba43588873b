"""ROS 1 bags (.bag) and ROS 2 bags (a folder with metadata.yaml), read by the package rosbags."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rosbags.rosbag1 import Reader as Reader1
from rosbags.rosbag1.reader import decompressors
from rosbags.rosbag2 import Reader as Reader2

from nodes.sources.files import require_file
from nodes.sources.ros.bag_scan import CONNECTION, MAGIC, MESSAGE, scan
from nodes.sources.ros.bags import Bag, DamagedError, Topic, reading
from nodes.sources.ros.recording import RosRecording
from pipeline.errors import InputError

INDEX_FIELD = b"index_pos="


class Rosbag(RosRecording):
    """A topic of images of a ROS bag."""

    def open_bag(self) -> Bag:
        """Open a ROS 1 bag by its index, else as far as it goes; or a ROS 2 bag."""
        path = Path(self.options.path)
        if path.is_dir():
            return _Indexed(path, Reader2, "ROS 2 bag", is_cdr=True)
        require_file(path, "bag")
        if path.suffix in (".db3", ".mcap"):
            return _Indexed(path, Reader2, "ROS 2 bag", is_cdr=True)
        _check_version1(path)
        try:
            return _Indexed(path, Reader1, "ROS 1 bag", is_cdr=False)
        except InputError:
            return _Scanned(path)


class _Indexed:
    """A bag that is all there."""

    is_cut = ""

    def __init__(self, path: Path, reader: Any, form: str, *, is_cdr: bool) -> None:
        self.form = form
        if path.is_dir() and not (path / "metadata.yaml").is_file():
            raise InputError(
                f"{path} is no ROS 2 bag: it has no metadata.yaml; run 'ros2 bag reindex'"
            )
        try:
            with reading():
                self._reader = reader(path)
                self._reader.open()
        except DamagedError as error:
            raise InputError(_why_not(path, str(error))) from error
        self.topics: Sequence[Topic] = [
            Topic(name, _kind(info.msgtype or ""), is_cdr, info.msgcount)
            for name, info in self._reader.topics.items()
        ]

    def messages(self, topic: str) -> Iterator[tuple[int, bytes]]:
        """Yield the messages of a topic, by the time of the log."""
        chosen = [c for c in self._reader.connections if c.topic == topic]
        with reading():
            for _, log_ns, data in self._reader.messages(chosen):
                yield log_ns, data

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


class _Scanned:
    """A ROS 1 bag whose end, and so whose index, is missing or damaged."""

    form = "ROS 1 bag, cut off"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connections: dict[int, tuple[str, str]] = {}
        counts: dict[int, int] = {}
        self.is_cut = "its index is damaged"
        try:
            with reading():
                for record in scan(path, decompressors):
                    if record.op == CONNECTION:
                        named = _connection(record.fields, record.data)
                        self._connections[record.connection] = named
                    elif record.op == MESSAGE:
                        counts[record.connection] = counts.get(record.connection, 0) + 1
        except DamagedError as error:
            self.is_cut = str(error)
        totals: dict[tuple[str, str], int] = {}
        for number, named in self._connections.items():
            totals[named] = totals.get(named, 0) + counts.get(number, 0)
        self.topics: Sequence[Topic] = [
            Topic(name, kind, False, n) for (name, kind), n in totals.items()
        ]

    def messages(self, topic: str) -> Iterator[tuple[int, bytes]]:
        """Yield the messages of a topic in the order of the file."""
        chosen = {n for n, (name, _) in self._connections.items() if name == topic}
        with reading():
            for record in scan(self._path, decompressors):
                if record.op == MESSAGE and record.connection in chosen:
                    yield record.time_ns, record.data

    def close(self) -> None:
        """Nothing is open between two passes."""


def _connection(fields: Mapping[bytes, bytes], data: bytes) -> tuple[str, str]:
    """Return topic and kind of a connection record, whose data are fields as a header's are."""
    kind = data.partition(b"type=")[2]
    start = data.find(b"type=")
    size = int.from_bytes(data[start - 4 : start], "little") - len(b"type=")
    return fields[b"topic"].decode("utf-8", "replace"), kind[:size].decode("utf-8", "replace")


def _check_version1(path: Path) -> None:
    """Check that a file is a ROS 1 bag that was closed.

    Raises:
        InputError: it is no such bag, or it was never closed and has no index.
    """
    with path.open("rb") as file:
        start = file.read(8192)
    if not start.startswith(MAGIC):
        raise InputError(f"{path} is not a ROS 1 bag of version 2.0")
    _, found, index = start.partition(INDEX_FIELD)
    if found and not any(index[:8]):
        raise InputError(
            f"{path} has no index: it was not closed when it was recorded; run "
            f"'rosbag reindex {path.name}'"
        )


def _kind(msgtype: str) -> str:
    """Write the type of a message as ROS 1 does."""
    return msgtype.replace("/msg/", "/")


def _why_not(path: Path, reason: str) -> str:
    text = f"{path} cannot be read as a ROS bag: {reason}"
    if path.is_dir() and any(path.glob("*.mcap")):
        return f"{text}; name its .mcap file itself to get what is before a cut"
    return text
