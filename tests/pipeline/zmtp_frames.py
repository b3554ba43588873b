"""What peers say on the wire: ZMTP 3.1 with NULL (ZeroMQ RFC 37) or PLAIN (RFC 24), and 1.0 (RFC 13)."""

MORE, LONG, COMMAND = 1, 2, 4


def greeting(mechanism: bytes = b"NULL", version: int = 3) -> bytes:
    """Return what a peer of ZMTP 3 says first: 64 bytes."""
    signature = b"\xff" + bytes(7) + b"\x01\x7f"
    return signature + bytes([version, 1]) + mechanism.ljust(20, b"\0") + bytes(32)


def frame(body: bytes, flags: int = 0) -> bytes:
    """Return a frame of ZMTP 3."""
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return bytes([flags | LONG]) + len(body).to_bytes(8, "big") + body


def ready(kind: bytes = b"DEALER", identity: bytes = b"") -> bytes:
    """Return the command that ends a handshake without a mechanism."""
    metadata = {b"Socket-Type": kind, b"Identity": identity}
    body = b"\x05READY" + b"".join(
        bytes([len(name)]) + name + len(value).to_bytes(4, "big") + value
        for name, value in metadata.items()
    )
    return frame(body, COMMAND)


def plain(user: bytes, password: bytes) -> bytes:
    """Return the command that asks to be let in."""
    names = b"".join(bytes([len(name)]) + name for name in (user, password))
    return frame(b"\x05HELLO" + names, COMMAND)


def unversioned(identity: bytes, *bodies: bytes) -> bytes:
    """Return what a peer of ZMTP 1.0 says: its identity, and messages of one frame."""
    return b"".join(bytes([1 + len(body), 0]) + body for body in (identity, *bodies))
