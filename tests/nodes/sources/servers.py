"""Small servers of video on loopback: MJPEG and files over HTTP(S); for RTSP see rtsp_server.py.

Every connection gets the numbered pictures from 0 on, at 50 a second: grey, of level 3 x the number.
"""

import contextlib
import itertools
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from types import TracebackType

import cv2
import numpy as np

PERIOD_S = 0.02


def jpeg(number: int, size: tuple[int, int]) -> bytes:
    """Encode a grey picture, with a bright corner that no flat picture has."""
    image = np.full((size[1], size[0], 3), 3 * number % 256, np.uint8)
    image[: size[1] // 4, : size[0] // 4] = 255
    return cv2.imencode(".jpg", image)[1].tobytes()


class Server:
    """Listens on loopback; each connection is served in a thread of its own."""

    scheme = ""

    def __init__(self, size: tuple[int, int] = (64, 48)) -> None:
        self.size = size
        self.port = 0
        self.count = 0
        """Connections so far."""
        self._listener: socket.socket | None = None
        self._connections: list[socket.socket] = []

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.die()
        self.close()

    def close(self) -> None:
        """Give back what outlives a death."""

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/stream"

    def start(self) -> None:
        """Listen, after a death on the same port as before."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def die(self) -> None:
        """Stop listening and cut all connections."""
        if self._listener:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.drop()

    def drop(self) -> None:
        """Cut all connections."""
        while self._connections:
            connection = self._connections.pop()
            with contextlib.suppress(OSError):  # the other side was first
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        try:
            self.count += 1
            self.serve(connection)
        except (OSError, ValueError):
            connection.close()  # the other side, or the test, has ended it

    def serve(self, connection: socket.socket) -> None:
        raise NotImplementedError

    def pictures(self) -> Iterator[tuple[int, bytes]]:
        for number in itertools.count():
            yield number, jpeg(number, self.size)
            time.sleep(PERIOD_S)


class Mjpeg(Server):
    """JPEGs in a multipart/x-mixed-replace that never ends."""

    scheme = "http"

    def serve(self, connection: socket.socket) -> None:
        while not connection.recv(4096).endswith(b"\r\n\r\n"):
            pass
        connection.sendall(
            b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=cut\r\n\r\n"
        )
        for _, data in self.pictures():
            head = f"--cut\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            connection.sendall(head.encode() + data + b"\r\n")


class SecureMjpeg(Mjpeg):
    """The same over TLS."""

    scheme = "https"

    def __init__(self, certificate: str, key: str) -> None:
        super().__init__()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)

    def serve(self, connection: socket.socket) -> None:
        with self._context.wrap_socket(connection, server_side=True) as secure:
            super().serve(secure)


class File(Server):
    """One file over HTTP, the whole of it or only a first part."""

    scheme = "http"

    def __init__(self, data: bytes, num_sent: int | None = None) -> None:
        super().__init__()
        self._data, self._num_sent = data, num_sent

    def serve(self, connection: socket.socket) -> None:
        while not connection.recv(4096).endswith(b"\r\n\r\n"):
            pass
        head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(self._data)}\r\n\r\n"
        connection.sendall(head.encode() + self._data[: self._num_sent])
        connection.shutdown(socket.SHUT_WR)


def number_of(level: float) -> int:
    """Return which picture it is by the level of its grey."""
    return round(level / 3)


def secrets_in(text: str) -> list[str]:
    """Return what must not be seen of rtsp://alice:secret@..."""
    return re.findall(r"alice|secret", text)
