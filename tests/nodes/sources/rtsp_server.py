"""A small RTSP server on loopback, with motion JPEG inside."""

import base64
import itertools
import socket
import struct
import threading
from collections.abc import Iterator
from typing import BinaryIO

from servers import PERIOD_S, Server

MTU = 1400


class Rtsp(Server):
    """RTSP 1.0 (RFC 2326): RTP in the same connection or by UDP, JPEG by RFC 2435, Basic passwords."""

    scheme = "rtsp"

    def __init__(self, size: tuple[int, int] = (64, 48), password: str = "") -> None:
        super().__init__(size)
        self._password = password
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))

    def close(self) -> None:
        self._udp.close()

    def serve(self, connection: socket.socket) -> None:
        port = 0
        with connection.makefile("rb") as stream:
            while True:
                method, headers = read_request(stream)
                status, more = self._answer(method, headers)
                text = f"RTSP/1.0 {status}\r\nCSeq: {headers['cseq']}\r\n{more}"
                connection.sendall((text if "\r\n\r\n" in more else text + "\r\n").encode())
                if "client_port" in headers.get("transport", ""):
                    port = int(headers["transport"].split("client_port=")[1].split("-")[0])
                if (method, status) == ("PLAY", "200 OK"):
                    to = (connection, port)
                    threading.Thread(target=self._play, args=to, daemon=True).start()

    def _answer(self, method: str, headers: dict[str, str]) -> tuple[str, str]:
        expected = "Basic " + base64.b64encode(self._password.encode()).decode()
        if self._password and method != "OPTIONS" and headers.get("authorization") != expected:
            return "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"\r\n'
        if method == "DESCRIBE":
            sdp = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                "m=video 0 RTP/AVP 26\r\na=control:track0\r\n"
            )
            head = f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n\r\n"
            return "200 OK", head + sdp
        return "200 OK", {
            "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
            "SETUP": f"Session: 1\r\nTransport: {self._transport(headers)}\r\n",
        }.get(method, "Session: 1\r\n")

    def _transport(self, headers: dict[str, str]) -> str:
        port = self._udp.getsockname()[1]
        wanted = headers.get("transport", "")
        return wanted + f";server_port={port}-{port}" if "client_port" in wanted else wanted

    def _play(self, connection: socket.socket, port: int) -> None:
        sequence = itertools.count()
        try:
            for number, data in self.pictures():
                for payload, is_last in rtp_payloads(data):
                    packet = struct.pack(
                        ">BBHII", 0x80, 26 | is_last << 7, next(sequence) % 65536,
                        round(number * PERIOD_S * 90_000), 1,
                    ) + payload  # fmt: skip
                    if port:
                        connection.getpeername()  # raises once it is gone
                        self._udp.sendto(packet, ("127.0.0.1", port))
                    else:
                        connection.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
        except OSError:
            pass  # the other side, or the test, has ended it


def read_request(stream: BinaryIO) -> tuple[str, dict[str, str]]:
    """Read a request; interleaved packets of the player's reports are skipped."""
    while (first := stream.read(1)) == b"$":
        stream.read(int.from_bytes(stream.read(3)[1:]))
    if not first:
        raise ValueError("the other side is gone")
    lines = [(first + stream.readline()).decode()]
    while line := stream.readline().decode().strip():
        lines.append(line)
    headers = (line.split(":", 1) for line in lines[1:])
    return lines[0].split()[0], {key.lower(): value.strip() for key, value in headers}


def rtp_payloads(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """Cut a baseline JPEG with standard Huffman tables into the payloads of RFC 2435, section 3."""
    segments = dict(jpeg_segments(data))
    (sof,) = segments[0xC0]
    height, width = struct.unpack(">HH", sof[1:5])
    kind = {0x21: 0, 0x22: 1}[sof[7]]  # 4:2:2 or 4:2:0
    tables = b"".join(
        dqt[1 + 65 * i :][:64] for dqt in segments[0xDB] for i in range(len(dqt) // 65)
    )
    scan = data[data.index(segments[0xDA][0]) + len(segments[0xDA][0]) : -2]
    for start in range(0, len(scan), MTU):
        head = struct.pack(">IBBBB", start, kind, 255, width // 8, height // 8)
        if start == 0:
            head += struct.pack(">BBH", 0, 0, len(tables)) + tables
        yield head + scan[start : start + MTU], start + MTU >= len(scan)


def jpeg_segments(data: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Yield (marker, contents of all its segments) up to the scan."""
    found: dict[int, list[bytes]] = {}
    at = 2
    while True:
        marker, length = struct.unpack(">xBH", data[at : at + 4])
        found.setdefault(marker, []).append(data[at + 4 : at + 2 + length])
        at += 2 + length
        if marker == 0xDA:
            yield from found.items()
            return
