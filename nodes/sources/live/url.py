"""Live video from an address: RTSP, and video or MJPEG over HTTP."""

import time
from dataclasses import dataclass
from typing import Annotated

import cv2

from nodes.sources.base import EndedEarlyError
from nodes.sources.ffmpeg import CONTAINERS, open_capture
from nodes.sources.images import MAX_PIXELS
from nodes.sources.live.addresses import PROTOCOLS, masked, scheme_of
from nodes.sources.live.device import Reader
from nodes.sources.live.live_source import LiveOptions, LiveSource
from pipeline.errors import InputError

TRANSPORTS = ("tcp", "udp")


class Url(LiveSource):
    """A camera or a video at an address; frames are stamped when they arrive.

    A recording is played at its own pace. The server's certificate is not checked for https.
    """

    @dataclass(frozen=True)
    class Options(LiveOptions):
        """Which address, and how to read it."""

        url: Annotated[str, "rtsp://, http:// or https:// address; user:password@ if need be"] = ""
        transport: Annotated[str, "how RTSP carries the video: tcp, or udp (faster, may lose)"] = (
            "tcp"
        )

        def __post_init__(self) -> None:
            super().__post_init__()
            if scheme_of(self.url) in PROTOCOLS and not self.url.partition("://")[2]:
                raise ValueError(f"url must name a host, such as rtsp://camera/, not {self.url!r}")
            if scheme_of(self.url) not in PROTOCOLS:
                schemes = ", ".join(f"{scheme}://" for scheme in PROTOCOLS)
                raise ValueError(f"url must begin with one of {schemes}, not {masked(self.url)!r}")
            if self.transport not in TRANSPORTS:
                raise ValueError(f"transport must be tcp or udp, not {self.transport!r}")

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._num_claimed = 0

    @property
    def name(self) -> str:
        """Return the address without its secrets."""
        return masked(self.options.url)

    def connect(self) -> Reader:
        """Open the address, with nothing but the protocols that it needs."""
        capture = open_capture(self.options.url, self._settings(), self._timeouts())
        if not capture.isOpened():
            raise InputError(
                f"{self.name} cannot be opened: see whether the address, user and password are "
                "right, and whether a player such as ffplay shows it from this machine"
            )
        names = ("WIDTH", "HEIGHT", "COUNT")
        width, height, count = (capture.get(getattr(cv2, f"CAP_PROP_FRAME_{n}")) for n in names)
        if width * height > MAX_PIXELS:
            capture.release()
            raise InputError(
                f"{self.name} claims {width:g}x{height:g} pixels, more than the limit of "
                f"{MAX_PIXELS} pixels"
            )
        self._num_claimed = int(count) if 0 < count < 1e9 else 0  # without an end it is nonsense
        return Paced(capture, self.options.timeout_s / 2) if self._num_claimed else capture

    def is_over(self, count: int) -> bool:
        """Say whether a recording is at its end.

        Raises:
            EndedEarlyError: it ends before its claimed end.
        """
        if 0 < count < self._num_claimed:
            raise EndedEarlyError(
                f"{self.name} ended after {count} of {self._num_claimed} frames; a copy of the "
                "file can tell whether it is damaged"
            )
        return self._num_claimed > 0

    def _settings(self) -> dict[str, str]:
        scheme = scheme_of(self.options.url)
        # What RTSP gathers before it can begin is old already; of a file it would be missing.
        flags = "+discardcorrupt" + ("+nobuffer" if scheme == "rtsp" else "")
        return {
            "protocol_whitelist": PROTOCOLS[scheme],
            "format_whitelist": f"rtsp,mpjpeg,{CONTAINERS}",
            "fflags": flags,
            "rtsp_transport": self.options.transport,
        }

    def _timeouts(self) -> list[int]:
        timeout_ms = max(1, round(self.options.timeout_s * 1e3))
        return [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, timeout_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout_ms,
        ]  # fmt: skip


class Paced:
    """A recording that gives its frames no sooner than they are due, within `longest_s`."""

    def __init__(self, capture: cv2.VideoCapture, longest_s: float) -> None:
        self._capture = capture
        self._longest_s = longest_s
        self._start_s: float | None = None
        self.get = capture.get
        self.retrieve = capture.retrieve
        self.release = capture.release

    def grab(self) -> bool:
        """Wait for the next frame, and until it is due."""
        is_there = self._capture.grab()
        due_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
        if self._start_s is None:
            self._start_s = time.monotonic() - due_s
        early_s = self._start_s + due_s - time.monotonic()
        if is_there and early_s > 0:
            time.sleep(min(early_s, self._longest_s))
        return is_there
