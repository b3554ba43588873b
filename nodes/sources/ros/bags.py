"""What a bag of messages is to its reader: topics, and the messages of one of them in order."""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from nodes.sources.layouts import SeveralTopicsError
from nodes.sources.ros.messages import COMPRESSED, IMAGE
from pipeline.errors import InputError

PICTURES = (IMAGE, COMPRESSED)


class DamagedError(Exception):
    """A bag cannot be read on; what came before is valid. The message says why."""


@contextmanager
def reading() -> Iterator[None]:
    """Turn whatever a package raises over damaged data into `DamagedError`.

    The packages and their decompressors have a dozen kinds of errors, assertions among them.
    """
    try:
        yield
    except Exception as error:
        text = "" if isinstance(error, struct.error) else " ".join(str(error).split())
        text = text or "the file ends inside a record"
        raise DamagedError(text) from error


@dataclass(frozen=True)
class Topic:
    """A topic of a bag; its `kind` is written as in ROS 1, such as sensor_msgs/Image."""

    name: str
    kind: str
    is_cdr: bool
    count: int
    """Number of messages."""


class Bag(Protocol):
    """A file or folder of messages, open."""

    form: str
    """What it is, such as "ROS 1 bag"."""
    topics: Sequence[Topic]
    is_cut: str
    """Why the counts are not those of the whole recording; "" where they are."""

    def messages(self, topic: str) -> Iterator[tuple[int, bytes]]:
        """Yield (time of the log in nanoseconds, message) in order; may raise `DamagedError`."""

    def close(self) -> None:
        """Close the file."""


def choose_topic(name: str, topics: Sequence[Topic], given: str) -> Topic:
    """Return the topic that the user named, else the only one with images.

    Raises:
        InputError: there is none, or there are several; the message lists them.
    """
    pictures = [t for t in topics if t.kind in PICTURES and not t.name.endswith("compressedDepth")]
    listed = ", ".join(f"{t.name} ({t.count} of {t.kind})" for t in pictures or topics) or "none"
    if given:
        found = next((t for t in pictures if t.name == given), None)
        if found is None:
            raise InputError(f"{name} has no images on the topic {given}; its topics are: {listed}")
        return found
    filled = [t for t in pictures if t.count]
    if not filled:
        raise InputError(
            f"{name} has no images ({' or '.join(PICTURES)}); its topics are: {listed}"
        )
    if len(filled) > 1:
        raise SeveralTopicsError(
            f"{name} has several topics of images: {listed}; choose one: "
            f"--set capture.params.options.topic={filled[0].name}"
        )
    return filled[0]


def camera_info_topic(topic: Topic) -> str:
    """Return where image_transport's convention puts the calibration: beside the image topic."""
    return base_name(topic).rpartition("/")[0] + "/camera_info"


def base_name(topic: Topic) -> str:
    """Return the name of the topic without that of its transport."""
    return topic.name.removesuffix("/compressed")
