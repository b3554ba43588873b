"""The pretrained weights that the project knows, and where they lie on this machine.

Nothing here downloads; `posestream weights fetch` does, and only when asked. Weights that are not
shipped with the package are looked for in the folder that POSESTREAM_WEIGHTS names and its direct
subfolders, then in the cache folder.
"""

import difflib
import functools
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigError, MissingDependencyError

FOLDER_VARIABLE = "POSESTREAM_WEIGHTS"
SHIPPED_FOLDER = Path(__file__).parent / "shipped"


@dataclass(frozen=True)
class Weights:
    """One file of weights, published by others or shipped with the package."""

    name: str
    files: tuple[str, ...]
    """Names that the file may have; `posestream weights fetch` writes the first."""
    licence: str
    allows_commercial_use: bool
    description: str
    url: str = ""
    """Empty, as the next two, where the file is shipped."""
    sha256: str = ""
    num_bytes: int = 0

    @property
    def is_shipped(self) -> bool:
        """Whether the file comes with the package."""
        return not self.url


_ALIKED = "https://github.com/Shiaoming/ALIKED/raw/683d7c65197395c0b3f01ebe76e1084a27e73a65/models"
_XFEAT = (
    "https://github.com/verlab/accelerated_features/raw/c58e74fc86c0e1f9038e0fb8807de59d27dd30d5"
)
_MANIFEST = (
    Weights(
        name="superpoint-small",
        files=("superpoint_small.safetensors",),
        licence="Apache-2.0",
        allows_commercial_use=True,
        description="SuperPoint for CPUs, 64 values a descriptor, trained by posestream",
    ),
    Weights(
        name="superpoint",
        files=("superpoint_v1.pth",),
        url="https://github.com/magicleap/SuperPointPretrainedNetwork/raw/master/superpoint_v1.pth",
        sha256="52b6708629640ca883673b5d5c097c4ddad37d8048b33f09c8ca0d69db12c40e",
        num_bytes=5_206_086,
        licence="Magic Leap: academic or non-profit, non-commercial research only",
        allows_commercial_use=False,
        description="SuperPoint as published (DeTone et al., CVPRW 2018)",
    ),
    Weights(
        name="aliked-t16",
        files=("aliked-t16.pth",),
        url=f"{_ALIKED}/aliked-t16.pth",
        sha256="56782336919db220144a884e710e2b6af13b3b8f8da15b915a239078ab471085",
        num_bytes=794_859,
        licence="BSD-3-Clause",
        allows_commercial_use=True,
        description="ALIKED, tiny, 64 values a descriptor (Zhao et al., TIM 2023)",
    ),
    Weights(
        name="aliked-n16",
        files=("aliked-n16.pth",),
        url=f"{_ALIKED}/aliked-n16.pth",
        sha256="5be8704840ed662d9d8c561bf7279c222092674e7eb05fd0feab94899e9d82f2",
        num_bytes=2_738_091,
        licence="BSD-3-Clause",
        allows_commercial_use=True,
        description="ALIKED, normal, 128 values a descriptor (Zhao et al., TIM 2023)",
    ),
    Weights(
        name="xfeat",
        files=("xfeat.onnx", "xfeat_official_dense.onnx"),
        url=f"{_XFEAT}/weights/xfeat.onnx",
        sha256="54041f61f0d9b1968451a65fe0fd79e96692b1d8266c54a6939a73e847df5988",
        num_bytes=2_699_407,
        licence="Apache-2.0",
        allows_commercial_use=True,
        description="XFeat as ONNX, for 640 x 640 pixels (Potje et al., CVPR 2024)",
    ),
)
MANIFEST = {weights.name: weights for weights in _MANIFEST}


def locate(name_or_path: str) -> Path:
    """Return the file of known weights, or the file that a path names, which may hold any weights.

    Raises:
        ConfigError: neither a name of the manifest nor a file.
        MissingDependencyError: the weights are not here, or their file is not what was published.
    """
    if name_or_path not in MANIFEST and Path(name_or_path).is_file():
        return Path(name_or_path)
    if Path(name_or_path).is_dir():
        raise ConfigError(f"weights {name_or_path!r} are a folder: name the file")
    weights = known(name_or_path)
    path = find(weights)
    if path is None:
        raise MissingDependencyError(_absence(weights))
    if not weights.is_shipped and sha256(path) != weights.sha256:
        raise MissingDependencyError(
            f"weights {weights.name!r}: {path} is not the published file, its SHA-256 is "
            f"{sha256(path)}, not {weights.sha256}: give it by its path if you trust it, or delete "
            f"it and {fetch_command(weights)}"
        )
    return path


def known(name: str) -> Weights:
    """Return the manifest's entry of a name.

    Raises:
        ConfigError: there is none.
    """
    if name in MANIFEST:
        return MANIFEST[name]
    near = difflib.get_close_matches(name, MANIFEST, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise ConfigError(
        f"weights {name!r} are neither a file nor known. {hint}Allowed: {', '.join(MANIFEST)}"
    )


def find(weights: Weights) -> Path | None:
    """Return where weights lie on this machine, unchecked; None where they do not."""
    folders = [SHIPPED_FOLDER] if weights.is_shipped else _folders()
    candidates = (folder / file for folder in folders for file in weights.files)
    return next((path for path in candidates if path.is_file()), None)


def fetch_command(weights: Weights) -> str:
    """Return the command that fetches weights."""
    consent = "" if weights.allows_commercial_use else " --accept-licence"
    return f"posestream weights fetch {weights.name}{consent}"


def cache_folder() -> Path:
    """Return the folder that weights are fetched into; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "posestream" / "weights"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read once as long as it stays the same."""
    state = path.stat()
    return _sha256(path, state.st_size, state.st_mtime_ns)


@functools.cache
def _sha256(path: Path, num_bytes: int, changed_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def vain_folder() -> str:
    """Return what to say of POSESTREAM_WEIGHTS where it names no folder; else nothing."""
    given = os.environ.get(FOLDER_VARIABLE)
    is_vain = given and not Path(given).is_dir()
    return f"{FOLDER_VARIABLE} names {given}, which is no folder" if is_vain else ""


def _absence(weights: Weights) -> str:
    """Return what to say of weights that are not here, with the cure."""
    if weights.is_shipped:
        return (
            f"weights {weights.name!r}, a part of posestream, are not at "
            f"{SHIPPED_FOLDER / weights.files[0]}: pip install --force-reinstall posestream"
        )
    vain = vain_folder()
    return (
        f"weights {weights.name!r} are not here: {fetch_command(weights)}, or let "
        f"{FOLDER_VARIABLE} name a folder that holds {weights.files[0]}{vain and f' ({vain})'}"
    )


def _folders() -> Iterator[Path]:
    given = os.environ.get(FOLDER_VARIABLE)
    if given and Path(given).is_dir():
        yield Path(given)
        yield from sorted(path for path in Path(given).iterdir() if path.is_dir())
    yield cache_folder()
