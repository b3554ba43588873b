"""MCAP files with images of ROS 1 or ROS 2, read by the package mcap.

The format: https://mcap.dev/spec. ROS writes its messages as `ros1` or `cdr`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mcap.reader import NonSeekingReader, SeekingReader
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader

from nodes.sources.files import require_file
from nodes.sources.ros.bags import PICTURES, Bag, DamagedError, Topic, reading
from nodes.sources.ros.recording import RosRecording
from pipeline.errors import InputError

MAGIC = b"\x89MCAP0\r\n"
MAX_RECORD_BYTES = 2**31
CODECS = {"ros1": False, "cdr": True}
"""Encodings of messages that can be read, and whether they are CDR."""


class Mcap(RosRecording):
    """A topic of images of an MCAP file."""

    def open_bag(self) -> Bag:
        """Open the file by its summary, else as far as it goes."""
        path = Path(self.options.path)
        require_file(path, "MCAP file")
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise InputError(f"{path} is not an MCAP file")
        return _File(path)


class _File:
    form = "MCAP file"

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.is_cut = ""
        self._is_indexed = False
        try:
            self._open(str(path))
        except BaseException:
            self._file.close()
            raise

    def _open(self, name: str) -> None:
        channels, counts, schemas = self._summary() or self._scanned()
        kinds = {number: schema.name.replace("/msg/", "/") for number, schema in schemas.items()}
        readable: dict[tuple[str, str, bool], int] = {}
        self._others: list[str] = []
        for channel in channels.values():
            kind = kinds.get(channel.schema_id, "")
            if channel.message_encoding in CODECS:
                key = channel.topic, kind, CODECS[channel.message_encoding]
                readable[key] = readable.get(key, 0) + counts.get(channel.id, 0)
            elif "Image" in kind or "Video" in kind:
                self._others.append(f"{channel.topic} ({kind}, {channel.message_encoding})")
        self.topics: Sequence[Topic] = [Topic(*key, count) for key, count in readable.items()]
        if self._others and not any(topic.kind in PICTURES for topic in self.topics):
            raise InputError(
                f"{name} has images in forms that cannot be read: {', '.join(self._others)}; "
                "readable are those of ROS 1 and ROS 2"
            )

    def messages(self, topic: str) -> Iterator[tuple[int, bytes]]:
        """Yield the messages of a topic, by the time of the log where there is an index."""
        self._file.seek(0)
        reader: Any = (
            SeekingReader(self._file, validate_crcs=True, record_size_limit=MAX_RECORD_BYTES)
            if self._is_indexed
            else self._sequential()
        )
        with reading():
            for _, _, message in reader.iter_messages([topic], log_time_order=self._is_indexed):
                yield message.log_time, message.data

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _sequential(self) -> NonSeekingReader:
        return NonSeekingReader(self._file, validate_crcs=True, record_size_limit=MAX_RECORD_BYTES)

    def _summary(self) -> tuple[dict[int, Channel], dict[int, int], dict[int, Schema]] | None:
        """Return channels, counts and schemas; None where the file's end does not tell them."""
        try:
            with reading():
                reader = SeekingReader(self._file, record_size_limit=MAX_RECORD_BYTES)
                summary = reader.get_summary()
        except DamagedError:
            return None
        if summary is None or summary.statistics is None or not summary.channels:
            return None
        self._is_indexed = bool(summary.chunk_indexes)
        return summary.channels, summary.statistics.channel_message_counts, summary.schemas

    def _scanned(self) -> tuple[dict[int, Channel], dict[int, int], dict[int, Schema]]:
        """Go through the whole file, one chunk in memory at a time."""
        channels, counts, schemas = dict[int, Channel](), dict[int, int](), dict[int, Schema]()
        self._file.seek(0)
        records = StreamReader(
            self._file, validate_crcs=True, record_size_limit=MAX_RECORD_BYTES
        ).records
        try:
            with reading():
                for record in records:
                    if isinstance(record, Schema):
                        schemas[record.id] = record
                    elif isinstance(record, Channel):
                        channels[record.id] = record
                    elif isinstance(record, Message):
                        counts[record.channel_id] = counts.get(record.channel_id, 0) + 1
        except DamagedError as error:
            self.is_cut = str(error)
        return channels, counts, schemas
