"""Addresses of live video: which can be read, and how they are written where others may read."""

import re

PROTOCOLS = {
    "rtsp": "rtsp,rtp,tcp,udp",
    "http": "http,tcp",
    "https": "https,tls,tcp",
}
"""What FFmpeg may use to read an address, by its scheme: no file, and no way down from https."""


def scheme_of(url: str) -> str:
    """Return the scheme of an address in small letters; "" where it has none."""
    scheme, colon, _ = url.partition("://")
    return scheme.lower() if colon else ""


def masked(url: str) -> str:
    """Return an address without its secrets: user, password, and what follows a "?"."""
    scheme, colon, rest = url.partition("://")
    if not colon:
        return "***" if "@" in url else url
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in rest and ("@" in authority or not re.fullmatch(r"[^:]+(:\d*)?", authority)):
        # Also a password with a slash in it, which should have been written as %2F.
        start = authority.rfind("@") if "@" in authority else rest.rfind("@")
        rest = "***" + rest[start:]
    return f"{scheme}://" + re.sub(r"[?#].*", "?***", rest)
