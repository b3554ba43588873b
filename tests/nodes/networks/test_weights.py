"""Where weights are looked for, and what is said when they are not there or not the right ones."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from nodes.networks import weights
from nodes.networks.weights import MANIFEST, Weights, locate
from pipeline.errors import ConfigError, MissingDependencyError

CONTENT = b"weights"
TOY = Weights(
    name="toy",
    files=("toy.pth", "toy_other_name.pth"),
    url="https://example.org/toy.pth",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    num_bytes=len(CONTENT),
    licence="MIT",
    allows_commercial_use=True,
    description="A toy",
)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, an empty folder of the user's, and a manifest of one entry."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("POSESTREAM_WEIGHTS", str(tmp_path / "own"))
    monkeypatch.setattr(weights, "MANIFEST", {"toy": TOY})


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_file_is_itself_whatever_it_holds(tmp_path: Path) -> None:
    path = put(tmp_path / "my.pth", b"anything")
    assert locate(str(path)) == path


@pytest.mark.parametrize(
    "place",
    ["own/toy.pth", "own/sub/toy.pth", "own/sub/toy_other_name.pth", "cache/posestream/weights/toy.pth"],
)  # fmt: skip
def test_a_name_is_found_in_the_folder_its_subfolders_and_the_cache(
    tmp_path: Path, place: str
) -> None:
    path = put(tmp_path / place)
    assert locate("toy") == path


def test_the_users_folder_comes_before_the_cache(tmp_path: Path) -> None:
    put(tmp_path / "cache/posestream/weights/toy.pth")
    path = put(tmp_path / "own/sub/toy.pth")
    assert locate("toy") == path


def test_without_variables_the_cache_is_in_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert weights.cache_folder() == Path.home() / ".cache" / "posestream" / "weights"


def test_missing_weights_are_an_error_with_the_command_that_fetches_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(MissingDependencyError) as error:
        locate("toy")
    assert str(error.value) == (
        "weights 'toy' are not here: posestream weights fetch toy, or let POSESTREAM_WEIGHTS name a folder that holds toy.pth"
    )
    monkeypatch.delenv("POSESTREAM_WEIGHTS")
    limited = dataclasses.replace(TOY, allows_commercial_use=False)
    monkeypatch.setattr(weights, "MANIFEST", {"toy": limited})
    with pytest.raises(MissingDependencyError, match="fetch toy --accept-licence, or"):
        locate("toy")


def test_a_file_that_is_not_the_published_one_is_refused_in_one_line(tmp_path: Path) -> None:
    path = put(tmp_path / "own/toy.pth", b"else")
    other = hashlib.sha256(b"else").hexdigest()
    with pytest.raises(MissingDependencyError) as error:
        locate("toy")
    assert str(error.value) == (
        f"weights 'toy': {path} is not the published file, its SHA-256 is {other}, not {TOY.sha256}: give it by its path if you trust it, or delete it and posestream weights fetch toy"
    )
    put(path)  # a file that changed is read again
    assert locate("toy") == path


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "own/toy.pth")
    assert locate("toy") == path
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("read again"))
    assert locate("toy") == path


def test_a_name_that_is_not_known_is_an_error_with_the_nearest_and_all() -> None:
    with pytest.raises(ConfigError) as error:
        locate("tov")
    assert str(error.value) == (
        "weights 'tov' are neither a file nor known. Did you mean 'toy'? Allowed: toy"
    )


def test_the_manifest_is_whole_and_comes_by_https_or_with_the_package() -> None:
    for name, entry in MANIFEST.items():
        assert entry.name == name
        assert entry.files and entry.licence and entry.description
        if not entry.is_shipped:
            assert entry.url.startswith("https://")
            assert len(bytes.fromhex(entry.sha256)) == 32
            assert entry.num_bytes > 0
    assert not MANIFEST["superpoint"].allows_commercial_use
    assert [name for name, entry in MANIFEST.items() if entry.is_shipped] == ["superpoint-small"]


@pytest.mark.data
def test_the_published_files_are_found_and_have_their_sizes(
    data_dir: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = data_dir("hom_graf").parents[1] / "weights"
    monkeypatch.setenv("POSESTREAM_WEIGHTS", str(folder))
    monkeypatch.setattr(weights, "MANIFEST", MANIFEST)
    published = {name: entry for name, entry in MANIFEST.items() if not entry.is_shipped}
    here = {name: weights.find(entry) for name, entry in published.items()}
    found = {name: path for name, path in here.items() if path is not None}
    if not found:
        pytest.skip(f"needs weights in {folder}")
    for name in found:
        assert locate(name).stat().st_size == MANIFEST[name].num_bytes


def test_a_folder_is_no_file_of_weights(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        locate(str(tmp_path))
    assert str(error.value) == f"weights {str(tmp_path)!r} are a folder: name the file"


def test_a_folder_variable_that_names_no_folder_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSESTREAM_WEIGHTS", str(tmp_path / "none"))
    with pytest.raises(MissingDependencyError) as error:
        locate("toy")
    assert str(error.value).endswith(
        f"toy.pth (POSESTREAM_WEIGHTS names {tmp_path / 'none'}, which is no folder)"
    )


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file, not written yet, of weights that are shipped in a package of their own."""
    toy = Weights("own", ("own.safetensors",), "Apache-2.0", True, "Ours")
    monkeypatch.setattr(weights, "MANIFEST", {"own": toy})
    monkeypatch.setattr(weights, "SHIPPED_FOLDER", tmp_path / "package")
    return tmp_path / "package" / "own.safetensors"


def test_shipped_weights_are_found_in_the_package_and_nowhere_else(
    tmp_path: Path, shipped: Path
) -> None:
    put(tmp_path / "own/own.safetensors")
    put(tmp_path / "cache/posestream/weights/own.safetensors")
    with pytest.raises(MissingDependencyError) as error:
        locate("own")
    assert str(error.value) == (
        f"weights 'own', a part of posestream, are not at {shipped}: pip install --force-reinstall posestream"
    )
    put(shipped, b"whatever was trained last")
    assert locate("own") == shipped


def test_the_shipped_weights_are_in_the_package_with_their_model_card(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(weights, "MANIFEST", MANIFEST)
    path = locate("superpoint-small")
    assert path.parent == Path(weights.__file__).parent / "shipped"
    assert sum(file.stat().st_size for file in path.parent.iterdir()) < 8e6
    assert path.with_suffix(".md").is_file()
