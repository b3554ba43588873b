"""What may come to a tcp port that anybody can reach; run as a program it attacks ports.

    python hostile_peers.py SECONDS SEED CONNECTIONS LINK... -- PORT...

It does each attack in turn, at least once, until its time is over, and prints a JSON object: attack
-> how often.
"""

import contextlib
import itertools
import json
import os
import random
import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import zmq
from zmtp_frames import COMMAND, LONG, MORE, frame, greeting, plain, ready, unversioned

HUGE = 2**33  # bytes that a frame claims
TIMEOUT_S = 1.0


def connect(port: int) -> socket.socket:
    """Connect to a port of this machine."""
    found = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
    found.settimeout(TIMEOUT_S)
    return found


def say(port: int, *pieces: bytes) -> None:
    """Send pieces, the second once the first was answered, and go whatever the answer is.

    What follows a handshake must not come before its answer: libzmq would take it for a part of it.
    """
    with contextlib.suppress(OSError), connect(port) as peer:
        peer.sendall(pieces[0])
        for piece in pieces[1:]:
            await_answer(peer)
            peer.sendall(piece)


def await_answer(peer: socket.socket) -> None:
    """Wait for a greeting of 64 bytes, and for the command behind it if there comes one."""
    heard = peer.recv(4096)
    while len(heard) <= 64 and (more := peer.recv(4096)):
        heard += more


@dataclass
class Attacker:
    """All attacks on some ports."""

    links: Sequence[str]
    """Names of links, as somebody would know them who has read the configuration."""
    ports: Sequence[int]
    connections: int
    rng: random.Random

    def run(self, seconds: float) -> Counter[str]:
        """Attack for some time, each way at least once; return how often."""
        done: Counter[str] = Counter()
        deadline = time.monotonic() + seconds
        for attack in itertools.cycle(self.attacks()):
            if time.monotonic() > deadline and attack.__name__ in done:
                break
            done[attack.__name__] += sum(attack(port) for port in self.ports)
        return done

    def attacks(self) -> list[Callable[[int], int]]:
        """Return all attacks; each takes a port and returns how many blows it dealt."""
        return [
            self.random_bytes, self.old_versions, self.cut_handshakes, self.huge_claims,
            self.idle_connections, self.strangers, self.namesakes, self.hellos_that_vanish,
            self.many_parts, self.flood,
        ]  # fmt: skip

    def random_bytes(self, port: int) -> int:
        """Send noise, also behind a beginning that is right."""
        for _ in range(20):
            noise = self.rng.randbytes(self.rng.choice([1, 10, 64, 500, 20_000]))
            say(port, noise)
            say(port, greeting() + noise)
            say(port, greeting() + ready(), noise)
        return 60

    def old_versions(self, port: int) -> int:
        """Speak ZMTP 1.0 and 2.0."""
        for link in (*self.links, ""):
            say(port, unversioned(f"{link}#0".encode(), b"H", hello(link), b"B", b"C" * 8))
            say(port, unversioned(b"", self.rng.randbytes(200)) * 50)
            say(port, greeting()[:10] + b"\x01\x05" + frame(b"") + frame(b"B"))
        return 3 * len(self.links) + 3

    def cut_handshakes(self, port: int) -> int:
        """Leave after each byte of a handshake."""
        asking = frame(b"H", MORE) + frame(hello(self.links[0]))
        strangers = greeting() + ready() + asking
        liars = greeting(b"PLAIN") + plain(b"posestream", b"0" * 32) + ready() + asking
        for whole in (strangers, liars):
            for length in range(len(whole)):
                say(port, whole[:length])
        return len(strangers) + len(liars)

    def huge_claims(self, port: int) -> int:
        """Claim frames of 8 GiB and more, at each point where a frame may stand."""
        huge = HUGE.to_bytes(8, "big")
        claims = [bytes([LONG | flags]) + huge for flags in (0, MORE, COMMAND)]
        claims += [
            bytes([LONG]) + b"\x80" + bytes(7),
            bytes([LONG]) + bytes(4) + b"\x10" + bytes(3),
        ]
        for claim in claims:
            say(port, greeting() + claim + b"x" * 10_000)
            say(port, greeting(b"PLAIN") + claim + b"x" * 10_000)
            say(port, greeting() + ready(), claim + b"x" * 10_000)
        say(port, b"\xff" + huge + b"\x00" + b"x" * 10_000)  # as ZMTP 1.0 has it
        return 3 * len(claims) + 1

    def idle_connections(self, port: int) -> int:
        """Hold connections: silent ones, and some that go on a byte at a time."""
        peers = []
        for number in range(self.connections):
            with contextlib.suppress(OSError):
                peers.append(connect(port))
                peers[-1].sendall((greeting() + ready())[: number % 90])
        for byte in range(10):
            for peer in peers[:20]:
                with contextlib.suppress(OSError):
                    peer.sendall(greeting()[byte : byte + 1])
            time.sleep(0.05)
        for peer in peers:
            peer.close()
        return len(peers)

    def strangers(self, port: int) -> int:
        """Say hello as a consumer does, with everything wrong that can be."""
        with dealers(port, b"") as peer:
            for data in wrong_hellos(self.links[0]):
                peer.send_multipart([b"H", data], zmq.NOBLOCK)
            for parts in ([b""], [b"C", b"\xff" * 8], [b"C", b"\xff" * 100_000], [b"B"], [b"?"]):
                peer.send_multipart(parts, zmq.NOBLOCK)
            peer.poll(20)
        return 1

    def namesakes(self, port: int) -> int:
        """Take the routing ids of good peers, and of those that would come after a restart."""
        for link in self.links:
            for number in (0, 1, 2):
                with dealers(port, f"{link}#{number}".encode()) as peer:
                    peer.send_multipart([b"H", hello(link)], zmq.NOBLOCK)
                    for parts in ([b"B"], [b"C", bytes([255] * 8)], [b"B", b"B"]):
                        peer.send_multipart(parts, zmq.NOBLOCK)
                    peer.poll(10)
        return 3 * len(self.links)

    def hellos_that_vanish(self, port: int) -> int:
        """Say hello and be gone before the answer."""
        whole = greeting() + ready(identity=f"{self.links[0]}#7".encode())
        for _ in range(50):
            say(port, whole, frame(b"H", MORE) + frame(hello(self.links[0])))
        return 50

    def many_parts(self, port: int) -> int:
        """Send messages of very many parts, all but the first without an end."""
        small, large = frame(b"x" * 50, MORE) * 20_000, frame(b"x" * 32_000, MORE) * 2000
        for start in (greeting() + ready(), greeting(b"PLAIN") + plain(b"", b"") + ready()):
            for parts in (small + frame(b"end"), small, large):
                say(port, start, parts)
        return 6

    def flood(self, port: int) -> int:
        """Send small messages as fast as can be, and read no answer."""
        messages = (frame(b"H", MORE) + frame(b"\xc1" * 20)) * 1000
        with contextlib.suppress(OSError), connect(port) as peer:
            peer.sendall(greeting() + ready())
            await_answer(peer)
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                peer.sendall(messages)
        return 1


def hello(link: str, **changes: object) -> bytes:
    """Return a hello as pipeline/outlets.py has it, of somebody who does not know the secret."""
    values = {"run": "0" * 32, "link": link, "credit": 4}
    return msgspec.msgpack.encode(values | changes)


def wrong_hellos(link: str) -> Iterator[bytes]:
    """Yield hellos that are wrong in all ways."""
    yield hello(link)
    yield hello(link, run="\u00e9" * 32)
    yield hello(link, run=b"\xff")
    yield hello(link, credit=-5)
    yield hello(link, credit=2**32)
    yield hello(link, credit=2**64 - 1)
    yield hello(link, position={"back": -3, "have": {"count": [1, 2]}})
    yield hello(link, position={"number": 2**63, "have": {str(i): [i] * 40 for i in range(900)}})
    yield hello(link, position={"totals": {"x" * 100_000: 1}})
    yield b"\x83\xa3run\xa4\xff\xfe\xfd\xfc"  # not UTF-8
    yield b"\x81\xa8position" + b"\x81\xa4have" + b"\x91" * 50_000  # deep
    yield b"\xdf\xff\xff\xff\xff" + b"\xa1a\x01" * 10  # a map of 4 G entries
    yield b""


@contextlib.contextmanager
def dealers(port: int, identity: bytes) -> Iterator[zmq.Socket[bytes]]:
    """Lend a DEALER that is connected to a port."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    peer = context.socket(zmq.DEALER)
    peer.setsockopt(zmq.LINGER, 20)
    if identity:
        peer.setsockopt(zmq.ROUTING_ID, identity)
    peer.connect(f"tcp://127.0.0.1:{port}")
    try:
        with contextlib.suppress(zmq.Again):  # it was thrown out in between
            yield peer
    finally:
        peer.close()
        context.term()


def main() -> None:
    """Attack ports."""
    _, seconds, seed, connections, *rest = sys.argv
    split = rest.index("--")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.nice(5)  # it is the port that is tested here, not who gets the processor
    ports = [int(port) for port in rest[split + 1 :]]
    attacker = Attacker(rest[:split], ports, int(connections), random.Random(int(seed)))
    sys.stdout.write(json.dumps(attacker.run(float(seconds))))


if __name__ == "__main__":
    main()
