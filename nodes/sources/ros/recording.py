"""What ROS bags and MCAP files share: one topic of images is a recording.

How the messages lie in the file is the business of a `Bag`: see rosbag.py and mcap_file.py.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from nodes.sources.base import EndedEarlyError, Picture, Selection
from nodes.sources.images import UndecodableError
from nodes.sources.recorded import Recorded
from nodes.sources.ros.bags import (
    PICTURES,
    Bag,
    DamagedError,
    Topic,
    base_name,
    camera_info_topic,
    choose_topic,
)
from nodes.sources.ros.encodings import decode_ros
from nodes.sources.ros.messages import (
    CAMERA_INFO,
    MalformedError,
    RosImage,
    read_camera,
    read_image,
)
from nodes.sources.sidecars import Sidecars
from nodes.vision.camera import Camera
from nodes.vision.images import Image
from pipeline.errors import InputError


class RosRecording(Recorded):
    """Base of the sources that read one topic of images."""

    @dataclass(frozen=True)
    class Options:
        """Which bag, and which topic of it."""

        path: Annotated[str, "bag: a file, or the folder of a ROS 2 bag"] = ""
        topic: Annotated[str, "topic of the images; empty: the only one"] = ""

        def __post_init__(self) -> None:
            if not self.path:
                raise ValueError("path must name a bag, not ''")

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._warn: Callable[[str], None] = lambda text: None

    def open_bag(self) -> Bag:
        """Open the bag and read what topics it has; called again for each pass.

        Raises:
            InputError: it is no bag, or its index is missing or damaged.
        """
        raise NotImplementedError  # every form overrides it

    @cached_property
    def sidecars(self) -> Sidecars:
        """Return what stands in the folder of the bag."""
        path = Path(self.options.path)
        return Sidecars.beside(*([path] if path.is_dir() else []), path.parent)

    @cached_property
    def topic(self) -> Topic:
        """Return the topic that is read."""
        return self._looked_up[1]

    @cached_property
    def form(self) -> str:
        """Return what the bag is, such as "ROS 1 bag"."""
        return self._looked_up[0]

    @property
    def camera(self) -> Camera | None:
        """Return the calibration beside the bag, else that of the camera_info beside the topic."""
        if not Path(self.options.path).exists():  # a run can be scored when its input is gone
            return None
        return super().camera or self._looked_up[2]

    def describe(self) -> str:
        """Say what it is, and which topic is read."""
        count = "images" if self.length() is None else f"{self.length()} images"
        return f"{self.form}: {count} of {self.topic.name}"

    def open(self, warn: Callable[[str], None]) -> None:
        """Find the topic, and check that its first image can be read."""
        self._warn = warn
        try:
            first = next(iter(self.frames(Selection(stop=1))), None)
        except EndedEarlyError as error:
            raise InputError(str(error)) from error
        if first is None:
            raise InputError(f"{self.name}: the topic {self.topic.name} has no message")
        if first.image is not None:
            height, width = first.image.shape[:2]
            self.size = (width, height)
        elif "encoding" in first.reason:
            raise InputError(f"{self.name}: {first.reason}")

    def frames(self, selection: Selection) -> Iterator[Picture]:
        """Yield the selected images; a message that is damaged has a reason instead."""
        index, last_ns = 0, None
        with closing(self.open_bag()) as bag:
            try:
                for log_ns, data in bag.messages(self.topic.name):
                    if selection.ends_before(index):
                        return
                    image, reason = self._read(data)
                    last_ns = self._stamp(image, log_ns, last_ns)
                    if selection.takes(index):
                        yield self._picture(index, last_ns, image, reason)
                    index += 1
            except DamagedError as error:
                raise self._ended(index, str(error)) from error
            if not selection.ends_before(index) and (bag.is_cut or index < self.topic.count):
                raise self._ended(index, bag.is_cut or "messages are missing")

    def length(self) -> int | None:
        """Return the number of images; None where the bag is cut off and nobody knows."""
        return None if self._looked_up[3] else self.topic.count

    @cached_property
    def _looked_up(self) -> tuple[str, Topic, Camera | None, str]:
        """Look into the bag once: its form, the topic, the calibration, and whether it is cut."""
        with closing(self.open_bag()) as bag:
            if bag.is_cut and not any(
                topic.kind in PICTURES and topic.count for topic in bag.topics
            ):
                raise InputError(
                    f"{self.name} is cut off or damaged before its first image: {bag.is_cut}"
                )
            topic = choose_topic(self.name, bag.topics, self.options.topic)
            return bag.form, topic, self._bag_camera(bag, topic), bag.is_cut

    def _bag_camera(self, bag: Bag, topic: Topic) -> Camera | None:
        info = camera_info_topic(topic)
        found = next((t for t in bag.topics if (t.name, t.kind) == (info, CAMERA_INFO)), None)
        if found is None:
            return None
        try:
            message = next(bag.messages(info), None)
            is_rectified = "rect" in base_name(topic).rpartition("/")[2]
            return message and read_camera(message[1], found.is_cdr, is_rectified)
        except DamagedError:
            return None  # the images will meet it too
        except MalformedError as error:
            raise InputError(f"{self.name}: the topic {info} cannot be used: {error}") from error

    def _read(self, data: bytes) -> tuple[RosImage | None, str]:
        try:
            return read_image(data, self.topic.kind, self.topic.is_cdr), ""
        except MalformedError as error:
            return None, str(error)

    def _picture(self, index: int, stamp_ns: int, image: RosImage | None, reason: str) -> Picture:
        if image is None:
            return Picture(index, stamp_ns, None, f"message {index} is damaged: {reason}")
        if image.encoding == "mono16":
            self._warn(f"{self.name}: of the 16 bits of mono16 the upper 8 are used")
        try:
            decoded: Image = decode_ros(image, f"message {index}", self.empty)
        except UndecodableError as error:
            return Picture(index, stamp_ns, None, str(error))
        return Picture(index, stamp_ns, decoded)

    def _stamp(self, image: RosImage | None, log_ns: int, last_ns: int | None) -> int:
        """Return the time of the header, else that of the log, made to rise strictly."""
        if image is None and last_ns is not None:
            return last_ns + 1  # the log's clock may be another one
        stamp_ns = (image and image.stamp_ns) or log_ns
        if last_ns is None or stamp_ns > last_ns:
            return stamp_ns
        self._warn(f"{self.name}: the times of {self.topic.name} do not rise from image to image")
        return last_ns + 1

    def _ended(self, index: int, reason: str) -> EndedEarlyError:
        of = "" if self._looked_up[3] else f" of {self.topic.count}"
        return EndedEarlyError(
            f"{self.name} is cut off or damaged after {index}{of} images of "
            f"{self.topic.name}: {reason}"
        )
