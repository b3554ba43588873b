"""Who may speak to whom: by the keys of machines (CURVE, ZeroMQ RFC 26), or by the secret of a run.

Both are asked for while a connection is made (ZAP, RFC 27): whoever cannot answer sends nothing.

A folder holds NAME.public of every machine and NAME.secret of this one, each a line of 40
characters in Z85 (RFC 32). A server is a socket that is bound; it shows who it is by its key, and
admits a client whose public key lies in the folder:

    runner     the control socket of a group: the machine "main" alone
    machines   links between nodes: the machines of the run
    anybody    published outputs: every key of the folder
"""

from __future__ import annotations

import hmac
import os
import stat
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import zmq
from zmq.utils import z85

from pipeline.errors import ConfigError
from pipeline.polling import Context

ZAP_ENDPOINT = "inproc://zeromq.zap.01"
KEY_LENGTH = 40

Who = Literal["runner", "machines", "anybody"]
Socket = zmq.Socket[bytes]


@dataclass(frozen=True)
class Keyring:
    """The keys that one machine has."""

    folder: Path
    name: str
    """Name of this machine."""
    secret: bytes = field(repr=False)
    publics: Mapping[str, bytes]
    """Name -> public key, of all in the folder."""
    machines: frozenset[str]
    """Names of the machines of the run."""

    @classmethod
    def read(cls, folder: Path, name: str, machines: Iterable[str]) -> Keyring:
        """Read the keys of a folder.

        Args:
            name: this machine.
            machines: all machines of the run, whose public keys are needed.

        Raises:
            ConfigError: a file is missing, is no key, or a secret that others can read.
        """
        if not folder.is_dir():
            raise ConfigError(f"keys: no folder {folder}: posestream keys {folder} {name} makes it")
        secret = _read_secret(folder, name)
        publics = {path.stem: _read_key(path) for path in sorted(folder.glob("*.public"))}
        needed = [name, *machines]
        for other in needed:
            if other not in publics:
                raise ConfigError(
                    f"keys: {folder} holds no {other}.public: copy it from the machine {other!r}"
                )
        if zmq.curve_public(secret) != publics[name]:
            text = f"keys: {name}.public and {name}.secret in {folder} are not of one pair"
            raise ConfigError(f"{text}: posestream keys {folder} {name} --force makes new ones")
        return cls(folder, name, secret, publics, frozenset(needed))

    def guard_server(self, socket: Socket, who: Who) -> None:
        """Let a socket that will be bound admit nobody else; needs a `Gatekeeper` beside it."""
        socket.curve_server = True
        socket.curve_secretkey = self.secret
        socket.setsockopt(zmq.ZAP_DOMAIN, who.encode())

    def guard_client(self, socket: Socket, server: str) -> None:
        """Let a socket that will connect speak to the machine `server` and to nobody else."""
        socket.curve_serverkey = self.publics[server]
        socket.curve_publickey = self.publics[self.name]
        socket.curve_secretkey = self.secret

    def admits(self, key: bytes, who: str) -> bool:
        """Say whether the owner of a public key may speak to sockets for `who`."""
        names = {"runner": {"main"}, "machines": self.machines, "anybody": self.publics.keys()}
        return any(self.publics[name] == key for name in names.get(who, ()))


class Gatekeeper:
    """Answers for all sockets of one context whether a client may speak to them.

    Its thread ends with the context.

    Args:
        keys: without them clients must know the secret of the run (PLAIN, RFC 24).
        on_refusal: called with the address of a client that was refused, in that thread.
        run: the secret of the run.
    """

    def __init__(
        self,
        context: Context,
        keys: Keyring | None,
        on_refusal: Callable[[str], None] | None = None,
        run: str = "",
    ) -> None:
        self._keys = keys
        self._run_secret = run.encode()
        self._on_refusal = on_refusal
        self._socket = context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(ZAP_ENDPOINT)
        threading.Thread(target=self._run, name="gatekeeper", daemon=True).start()

    def _run(self) -> None:
        try:
            while True:
                self._socket.send_multipart(self._answer(self._socket.recv_multipart()))
        except zmq.ContextTerminated:
            self._socket.close()

    def _answer(self, request: list[bytes]) -> list[bytes]:
        version, number, domain, address, _, mechanism, *credentials = request
        admitted = self._admits(mechanism, domain.decode(errors="replace"), credentials)
        if not admitted and self._on_refusal:
            self._on_refusal(address.decode(errors="replace"))
        code, text = (b"200", b"OK") if admitted else (b"400", b"unknown key")
        return [version, number, code, text, b"", b""]

    def _admits(self, mechanism: bytes, domain: str, credentials: list[bytes]) -> bool:
        if self._keys is not None:
            return mechanism == b"CURVE" and self._keys.admits(z85.encode(credentials[0]), domain)
        return mechanism == b"PLAIN" and hmac.compare_digest(credentials[-1], self._run_secret)


def guard_listener(socket: Any, folder: Path, name: str, server: str = "main") -> None:
    """Give a SUB socket outside a run the keys to listen to the machine `server`.

    Args:
        name: the listener, whose public key must lie in the folder of that machine too.

    Raises:
        ConfigError: as `Keyring.read`.
    """
    Keyring.read(folder, name, [server]).guard_client(socket, server)


def make_keys(folder: Path, name: str, *, force: bool = False) -> tuple[Path, Path]:
    """Make the pair of keys of a machine; return the files of the public and of the secret key.

    Raises:
        ConfigError: there are keys of this name, or the folder cannot be written.
    """
    public, secret = folder / f"{name}.public", folder / f"{name}.secret"
    there = [path for path in (public, secret) if path.exists()]
    if there and not force:
        text = f"{there[0]} is there already: machines that know this key would be locked out"
        raise ConfigError(f"{text}; --force replaces it")
    public_key, secret_key = zmq.curve_keypair()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        secret.unlink(missing_ok=True)  # a new file, for nobody has opened it
        with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secret_key + b"\n")
        public.write_bytes(public_key + b"\n")
    except OSError as error:
        raise ConfigError(f"cannot write keys into {folder}: {error.strerror}") from error
    return public, secret


def _read_secret(folder: Path, name: str) -> bytes:
    path = folder / f"{name}.secret"
    if not path.is_file():
        raise ConfigError(
            f"keys: {folder} holds no {name}.secret, so this machine is not {name!r}: "
            f"posestream keys {folder} {name} makes it"
        )
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"keys: others can read {path}: chmod 600 {path}")
    return _read_key(path)


def _read_key(path: Path) -> bytes:
    try:
        key = path.read_bytes().strip()
        if len(key) == KEY_LENGTH and len(z85.decode(key)) == 32:
            return key
    except OSError as error:
        raise ConfigError(f"keys: cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, struct.error):
        pass  # not Z85, which the next lines say
    raise ConfigError(f"keys: {path} is no key: it must be one line of {KEY_LENGTH} characters")
