"""Keys of machines: made once, kept secret, and everybody else kept out."""

import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from typer.testing import CliRunner

from pipeline.errors import ConfigError
from pipeline.keys import Gatekeeper, Keyring, Who, guard_listener, make_keys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the keys of the machines main, gpu and laptop."""
    for name in ("main", "gpu", "laptop"):
        make_keys(tmp_path / "keys", name)
    return tmp_path / "keys"


def test_a_secret_is_for_its_owner_alone(folder: Path) -> None:
    assert stat.S_IMODE((folder / "main.secret").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len((folder / "main.public").read_text()) == 41
    ring = Keyring.read(folder, "main", ["gpu"])
    assert zmq.curve_public(ring.secret) == ring.publics["main"]


def test_no_secret_is_shown_in_an_error_or_a_log(folder: Path) -> None:
    ring = Keyring.read(folder, "main", ["gpu"])
    assert ring.secret.decode() not in repr(ring)


def test_keys_are_replaced_only_by_force(folder: Path) -> None:
    before = (folder / "gpu.secret").read_text()
    with pytest.raises(ConfigError) as caught:
        make_keys(folder, "gpu")
    assert str(caught.value) == (
        f"{folder}/gpu.public is there already: machines that know this key would be locked out; "
        "--force replaces it"
    )
    assert (folder / "gpu.secret").read_text() == before
    make_keys(folder, "gpu", force=True)
    assert (folder / "gpu.secret").read_text() != before


def test_the_command_says_what_goes_where(tmp_path: Path) -> None:
    from pipeline.cli import app
    from pipeline.commands.keys import keys

    app.command("keys-under-test")(keys)
    result = CliRunner().invoke(app, ["keys-under-test", str(tmp_path / "k"), "main", "gpu"])
    assert result.exit_code == 0
    public, secret = f"{tmp_path}/k/main.public", f"{tmp_path}/k/main.secret"
    assert result.output.splitlines()[:2] == [
        f"{public}  to be known: copy it into the keys folder of every machine",
        f"{secret}  secret: to be on the machine 'main' only, and nowhere else",
    ]
    assert sorted(path.name for path in (tmp_path / "k").iterdir()) == [
        "gpu.public", "gpu.secret", "main.public", "main.secret",
    ]  # fmt: skip
    assert (tmp_path / "k" / "main.secret").read_text().strip() not in result.output


def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    from pipeline.commands.keys import keys

    with pytest.raises(ConfigError) as caught:
        keys(tmp_path, ["main", "../elsewhere"])
    assert str(caught.value) == "'../elsewhere' is no name of a machine: letters, digits, _ and -"
    assert not list(tmp_path.iterdir())


def spoil_text(folder: Path) -> None:
    (folder / "gpu.public").write_text("x" * 39 + "\n")


def spoil_characters(folder: Path) -> None:
    (folder / "gpu.public").write_text("~" * 40)


def spoil_pair(folder: Path) -> None:
    (folder / "gpu.public").replace(folder / "main.public")
    make_keys(folder, "gpu", force=True)


SPOILT: list[tuple[Callable[[Path], object], str]] = [
    (
        lambda f: (f / "main.secret").unlink(),
        "keys: FOLDER holds no main.secret, so this machine is not 'main': "
        "posestream keys FOLDER main makes it",
    ),
    (
        lambda f: (f / "gpu.public").unlink(),
        "keys: FOLDER holds no gpu.public: copy it from the machine 'gpu'",
    ),
    (
        lambda f: (f / "main.secret").chmod(0o640),
        "keys: others can read FOLDER/main.secret: chmod 600 FOLDER/main.secret",
    ),
    (spoil_text, "keys: FOLDER/gpu.public is no key: it must be one line of 40 characters"),
    (spoil_characters, "keys: FOLDER/gpu.public is no key: it must be one line of 40 characters"),
    (
        spoil_pair,
        "keys: main.public and main.secret in FOLDER are not of one pair: "
        "posestream keys FOLDER main --force makes new ones",
    ),
]


@pytest.mark.parametrize(("spoil", "expected"), SPOILT)
def test_keys_that_cannot_be_used_are_named(
    folder: Path, spoil: Callable[[Path], object], expected: str
) -> None:
    spoil(folder)
    with pytest.raises(ConfigError) as caught:
        Keyring.read(folder, "main", ["gpu"])
    assert str(caught.value).replace(str(folder), "FOLDER") == expected


def test_a_missing_folder_is_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Keyring.read(tmp_path / "none", "main", [])
    assert str(caught.value) == (
        f"keys: no folder {tmp_path}/none: posestream keys {tmp_path}/none main makes it"
    )


Connect = Callable[..., bool]


@pytest.fixture
def greets(folder: Path) -> Iterator[tuple[Callable[..., bool], list[str]]]:
    """Return a function that says whether a client gets through to a server of main, and a log."""
    refused: list[str] = []
    here, there = zmq.Context(), zmq.Context()
    Gatekeeper(here, Keyring.read(folder, "main", ["gpu"]), refused.append)

    def greet(who: Who, client: Callable[[zmq.Socket[bytes]], None]) -> bool:
        server, socket = here.socket(zmq.PULL), there.socket(zmq.PUSH)
        server.linger = socket.linger = 0
        Keyring.read(folder, "main", ["gpu"]).guard_server(server, who)
        client(socket)
        port = server.bind_to_random_port("tcp://127.0.0.1")
        socket.connect(f"tcp://127.0.0.1:{port}")
        socket.send(b"hello")
        got = bool(server.poll(300))
        server.close()
        socket.close()
        return got

    yield greet, refused
    here.term()
    there.term()
    deadline = time.monotonic() + 2
    while any(t.name == "gatekeeper" for t in threading.enumerate()):
        assert time.monotonic() < deadline, "a thread was left behind"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("name", "admitted"),
    [("main", {"runner", "machines", "anybody"}), ("gpu", {"machines", "anybody"}),
     ("laptop", {"anybody"})],
)  # fmt: skip
def test_each_key_opens_the_sockets_that_are_meant_for_it(
    folder: Path,
    greets: tuple[Callable[..., bool], list[str]],
    name: str,
    admitted: set[str],
) -> None:
    greet, refused = greets
    ring = Keyring.read(folder, name, ["main"])
    whos = ("runner", "machines", "anybody")
    found = {w for w in whos if greet(w, lambda socket: ring.guard_client(socket, "main"))}
    assert found == admitted
    assert bool(refused) == (len(admitted) < 3)


def test_strangers_do_not_get_through(
    folder: Path, tmp_path: Path, greets: tuple[Callable[..., bool], list[str]]
) -> None:
    greet, refused = greets
    assert not greet("anybody", lambda socket: None)
    make_keys(tmp_path / "other", "gpu")
    (tmp_path / "other" / "main.public").write_bytes((folder / "main.public").read_bytes())
    stranger = Keyring.read(tmp_path / "other", "gpu", ["main"])
    assert not greet("anybody", lambda socket: stranger.guard_client(socket, "main"))
    assert set(refused) == {"127.0.0.1"}


def test_a_listener_with_keys_gets_through(
    folder: Path, greets: tuple[Callable[..., bool], list[str]]
) -> None:
    greet, _ = greets
    assert greet("anybody", lambda socket: guard_listener(socket, folder, "laptop"))
