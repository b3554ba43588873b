"""The recipe of a training: one YAML file says all that the result depends on but the photographs.

Sizes are (height, width) in pixels, multiples of 8. Angles are in degrees.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from nodes.networks.superpoint import CELL, Widths
from pipeline.config.strict_yaml import Document, read_yaml
from pipeline.errors import ConfigError
from training.homographies import Spread
from training.photometric import Photometric

STRICT = ConfigDict(extra="forbid")
Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """How a network learns in a stage: Adam, a short warm-up, then a cosine down to a hundredth."""

    __pydantic_config__ = STRICT
    name: str
    steps: Annotated[int, Field(ge=1)]
    batch: Annotated[int, Field(ge=1)]
    size: Size
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    warm_up_steps: Annotated[int, Field(ge=0)] = 100
    validate_every: Annotated[int, Field(ge=1)] = 500
    photometric: Photometric = field(default_factory=Photometric)

    def __post_init__(self) -> None:
        for length in self.size:
            if length < CELL or length % CELL:
                raise ValueError(f"size must be two multiples of {CELL}, not {list(self.size)}")


@dataclass(frozen=True, kw_only=True)
class ShapesStage(Optimisation):
    """The detector learns corners from drawings whose corners are known (paper, section 4)."""

    type: Literal["shapes"] = "shapes"


@dataclass(frozen=True, kw_only=True)
class LabelsStage:
    """Homographic adaptation labels photographs with the network so far (paper, section 5)."""

    __pydantic_config__ = STRICT
    type: Literal["labels"] = "labels"
    name: str
    homographies: Annotated[int, Field(ge=1)] = 32
    """Of each photograph; the first is the identity."""
    spread: Spread = field(default_factory=Spread)
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.015
    nms_radius_px: Annotated[int, Field(ge=0)] = 4
    max_keypoints: Annotated[int, Field(ge=1)] = 600
    erosion_px: Annotated[int, Field(ge=0)] = 3
    """A prediction so near to the border of a warped photograph does not count."""


@dataclass(frozen=True, kw_only=True)
class PairsStage(Optimisation):
    """Both heads learn from two views of one photograph (paper, section 3.4)."""

    type: Literal["pairs"] = "pairs"
    descriptor_loss: Literal["none", "hinge", "contrastive"] = "contrastive"
    descriptor_weight: Annotated[float, Field(ge=0)] = 1.0
    """The paper's lambda, of whichever loss of descriptors."""
    success_weight: Annotated[float, Field(ge=0)] = 0.0
    """Of the loss that tells a keypoint by whether its match succeeds; contrastive only."""
    temperature: Annotated[float, Field(gt=0)] = 0.05
    points: Annotated[int, Field(ge=8)] = 400
    """Whose descriptors are compared, in each pair; contrastive only."""
    first: Spread = field(default_factory=Spread)
    """Of the view of the photograph."""
    second: Spread = field(default_factory=Spread)
    """Of the other view, relative to the first."""


Stage = Annotated[ShapesStage | LabelsStage | PairsStage, Field(discriminator="type")]


@dataclass(frozen=True, kw_only=True)
class Network:
    """How wide the network is, and how it begins."""

    __pydantic_config__ = STRICT
    blocks: tuple[int, int, int, int] = (64, 64, 128, 128)
    heads: int = 256
    descriptor: int = 256
    batch_norm: bool = True
    """While it learns, before each ReLU; the saved weights have it folded into the convolutions."""
    start: str | None = None
    """Weights to begin with, a name of `posestream weights list` or a file; without batch norm."""

    def __post_init__(self) -> None:
        if self.start is not None and self.batch_norm:
            raise ValueError("batch_norm must be false with start: saved weights have none")
        self.widths()

    def widths(self) -> Widths:
        """Return the numbers of channels."""
        return Widths(self.blocks, self.heads, self.descriptor)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole training."""

    __pydantic_config__ = STRICT
    name: str
    licence: str | None = None
    """Of the weights, which is written into them; it depends on the photographs and the start."""
    seed: Annotated[int, Field(ge=0)] = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the convolutions; sums and losses are float32 in any case."""
    short_side: Annotated[int, Field(ge=CELL)] = 240
    """Photographs whose short side is longer are reduced to it, pixels."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 500
    network: Network = field(default_factory=Network)
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]

    def __post_init__(self) -> None:
        names = [stage.name for stage in self.stages]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two stages are named {name!r}: names must differ")
        kinds = [stage.type for stage in self.stages]
        if "pairs" in kinds and "labels" not in kinds[: kinds.index("pairs")]:
            raise ValueError("a stage of type pairs needs one of type labels before it")

    def fingerprint(self, index: int) -> str:
        """Return a hash of all that the result of the stage of an index depends on."""
        relevant = asdict(self)
        relevant["stages"] = relevant["stages"][: index + 1]
        for key in ("name", "licence", "checkpoint_every"):
            del relevant[key]
        return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        ConfigError: it cannot be read, or a key or a value is wrong; every finding is a line.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    document = read_yaml(text, str(path))
    if document.findings:
        raise ConfigError(
            *(f"{path}:{one.line}: {_dotted(one.path)}: {one.text}" for one in document.findings)
        )
    try:
        return TypeAdapter(Recipe).validate_python(document.data)
    except ValidationError as error:
        raise ConfigError(*(_line(path, document, item) for item in error.errors())) from error


def _line(path: Path, document: Document, item: Any) -> str:
    """Return one finding with its place."""
    keys = tuple(key for key in item["loc"] if key not in ("shapes", "labels", "pairs"))
    known = max((k for k in range(len(keys) + 1) if keys[:k] in document.lines), default=0)
    line = document.lines.get(keys[:known], 1)
    message = item["msg"].removeprefix("Value error, ")
    return f"{path}:{line}: {_dotted(keys)}: {message}"


def _dotted(keys: tuple[Any, ...]) -> str:
    return ".".join(map(str, keys)) or "recipe"
