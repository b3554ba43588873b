"""`posestream weights` fetches exactly what was published, or says why not and leaves nothing."""

import dataclasses
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from nodes.commands import weights as command
from nodes.networks import weights as networks
from nodes.networks.weights import Weights
from pipeline.errors import ConfigError, InputError, MissingDependencyError

CONTENT = bytes(range(256)) * 1000
APP = typer.Typer()
APP.command("weights")(command.weights)


class Server(BaseHTTPRequestHandler):
    """Serves CONTENT as /right, and other paths in other ways."""

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/right")
            self.end_headers()
            return
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "ftp://127.0.0.1/right")
            self.end_headers()
            return
        bodies = {
            "/right": CONTENT,
            "/large": CONTENT + b"x",
            "/wrong": CONTENT[::-1],
            "/cut": b"cut",
        }
        body = bodies.get(self.path)
        self.send_response(404 if body is None else 200)
        length = len(CONTENT) if self.path == "/cut" else len(body or b"")
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A local server, which plain http may reach."""
    monkeypatch.setattr(command, "SCHEMES", ("http",))
    server = HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def entry(url: str, *, is_free: bool = True) -> Weights:
    return Weights(
        name="toy",
        files=("toy.pth",),
        url=url,
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        num_bytes=len(CONTENT),
        licence="MIT" if is_free else "research only",
        allows_commercial_use=is_free,
        description="A toy",
    )


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Weights]:
    """A manifest that a test fills, and an empty cache."""
    entries: dict[str, Weights] = {}
    for module in (command, networks):
        monkeypatch.setattr(module, "MANIFEST", entries)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("POSESTREAM_WEIGHTS", raising=False)
    return entries


def invoke(*arguments: str) -> str:
    """Run the command and return what it prints to stdout.

    Raises:
        PosestreamError: as the command does.
    """
    result = CliRunner().invoke(APP, arguments)
    if result.exception:
        raise result.exception
    return result.stdout.strip()


@pytest.mark.parametrize("path", ["/right", "/moved"])
def test_weights_are_fetched_into_the_cache_and_found_there(
    address: str, manifest: dict[str, Weights], tmp_path: Path, path: str
) -> None:
    manifest["toy"] = entry(address + path)
    with pytest.raises(MissingDependencyError) as error:
        invoke("path", "toy")
    assert error.value.exit_code == 4
    target = tmp_path / "cache/posestream/weights/toy.pth"
    assert invoke("fetch", "toy") == str(target)
    assert target.read_bytes() == CONTENT
    assert [file.name for file in target.parent.iterdir()] == ["toy.pth"]
    assert invoke("path", "toy") == str(target)


def test_weights_that_are_there_are_not_fetched_again(
    manifest: dict[str, Weights], tmp_path: Path
) -> None:
    manifest["toy"] = entry("https://nowhere.invalid/toy.pth")
    (tmp_path / "toy.pth").write_bytes(CONTENT)
    assert invoke("fetch", "toy", "--to", str(tmp_path)) == str(tmp_path / "toy.pth")


def test_damaged_weights_are_replaced(
    address: str, manifest: dict[str, Weights], tmp_path: Path
) -> None:
    manifest["toy"] = entry(address + "/right")
    (tmp_path / "toy.pth").write_bytes(b"damaged")
    invoke("fetch", "toy", "--to", str(tmp_path))
    assert (tmp_path / "toy.pth").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/absent", "Not Found"),
        ("/wrong", f"its SHA-256 is {hashlib.sha256(CONTENT[::-1]).hexdigest()}, not "),
        ("/large", "it is larger than 256000 bytes"),
        ("/cut", "its SHA-256 is"),
        ("/away", "ftp://127.0.0.1/right is not https"),
    ],
)
def test_what_cannot_be_fetched_is_said_in_one_line_and_leaves_nothing(
    address: str, manifest: dict[str, Weights], tmp_path: Path, path: str, reason: str
) -> None:
    manifest["toy"] = entry(address + path)
    with pytest.raises(InputError) as error:
        invoke("fetch", "toy", "--to", str(tmp_path / "to"))
    start = f"cannot fetch weights 'toy' from {address}{path}: "
    assert str(error.value).startswith(start + reason)
    assert str(error.value).endswith(
        f"; they may be copied from another machine as {tmp_path / 'to' / 'toy.pth'}"
    )
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 3
    assert not list((tmp_path / "to").iterdir())


def test_a_server_that_is_not_there_is_an_error_and_leaves_nothing(
    address: str, manifest: dict[str, Weights], tmp_path: Path
) -> None:
    manifest["toy"] = entry("http://127.0.0.1:1/right")
    with pytest.raises(InputError, match="Connection refused"):
        invoke("fetch", "toy", "--to", str(tmp_path / "to"))
    assert not list((tmp_path / "to").iterdir())


def test_only_https_is_fetched(manifest: dict[str, Weights], tmp_path: Path) -> None:
    for url in ("http://127.0.0.1/toy.pth", (tmp_path / "toy.pth").as_uri()):
        manifest["toy"] = entry(url)
        with pytest.raises(InputError, match=f"{url} is not https"):
            invoke("fetch", "toy", "--to", str(tmp_path / "to"))


def test_a_licence_with_conditions_has_to_be_accepted(
    address: str, manifest: dict[str, Weights], tmp_path: Path
) -> None:
    manifest["toy"] = entry(address + "/right", is_free=False)
    with pytest.raises(ConfigError) as error:
        invoke("fetch", "toy", "--to", str(tmp_path))
    assert str(error.value) == (
        "the licence of weights 'toy' has conditions (research only); if yours is such a use: posestream weights fetch toy --accept-licence"
    )
    assert not list(tmp_path.iterdir())
    invoke("fetch", "toy", "--to", str(tmp_path), "--accept-licence")
    assert (tmp_path / "toy.pth").read_bytes() == CONTENT


def test_the_list_says_what_is_here_and_what_is_not(
    manifest: dict[str, Weights], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest["toy"] = entry("https://example.org/toy.pth")
    manifest["gone"] = dataclasses.replace(manifest["toy"], name="gone", files=("gone.pth",))
    manifest["bad"] = dataclasses.replace(manifest["toy"], name="bad", files=("bad.pth",))
    monkeypatch.setenv("POSESTREAM_WEIGHTS", str(tmp_path))
    (tmp_path / "toy.pth").write_bytes(CONTENT)
    (tmp_path / "bad.pth").write_bytes(b"bad")
    rows = {row["name"]: row for row in map(json.loads, invoke("list", "--json").splitlines())}
    assert {name: row["state"] for name, row in rows.items()} == {
        "toy": "yes", "gone": "no", "bad": "damaged",
    }  # fmt: skip
    assert rows["toy"]["path"] == str(tmp_path / "toy.pth")
    assert rows["gone"]["path"] is None
    table = invoke("list")
    assert all(word in table for word in ("toy", "gone", "bad", "MIT", "0.3", "damaged"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "toy"), "posestream weights list takes no NAME"),
        (("fetch",), "posestream weights fetch takes a NAME: toy"),
        (("path",), "posestream weights path takes a NAME: toy"),
        (("path", "tov"), "weights 'tov' are neither a file nor known. Did you mean 'toy'? Allowed: toy"),
    ],
)  # fmt: skip
def test_mistakes_are_explained(
    manifest: dict[str, Weights], arguments: tuple[str, ...], message: str
) -> None:
    manifest["toy"] = entry("https://example.org/toy.pth")
    with pytest.raises(ConfigError) as error:
        invoke(*arguments)
    assert str(error.value) == message


def test_shipped_weights_are_listed_found_and_never_fetched(
    manifest: dict[str, Weights], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest["own"] = Weights("own", ("own.safetensors",), "Apache-2.0", True, "Ours")
    monkeypatch.setattr(networks, "SHIPPED_FOLDER", tmp_path / "package")
    for action in ("path", "fetch"):
        with pytest.raises(MissingDependencyError, match="pip install --force-reinstall posestr"):
            invoke(action, "own")
    row = json.loads(invoke("list", "--json"))
    assert (row["state"], row["path"]) == ("no", None)
    file = tmp_path / "package" / "own.safetensors"
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    row = json.loads(invoke("list", "--json"))
    assert (row["state"], row["path"]) == ("shipped", str(file))
    assert (row["licence"], row["num_bytes"]) == ("Apache-2.0", len(CONTENT))
    assert "shipped" in invoke("list")
    assert invoke("path", "own") == str(file)
    result = CliRunner().invoke(APP, ["fetch", "own", "--to", str(tmp_path / "to")])
    assert result.stdout.strip() == str(file)
    assert result.stderr == "nothing to fetch: own is shipped with posestream\n"
    assert not (tmp_path / "to").exists()
