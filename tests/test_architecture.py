"""The layers of the project: who may import what. See the table; a breach names file, line and rule."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STDLIB = set(sys.stdlib_module_names)
ENGINE_ONLY = {"threading", "multiprocessing", "socket", "subprocess"}
VISION = {"numpy", "scipy", "cv2", "nodes.vision"}
PLUGIN = {"numpy", "cv2", "nodes.vision", "nodes.networks", "pipeline.registry", "pipeline.errors"}
NETWORKS = {"numpy", "torch", "safetensors", "nodes.networks", "pipeline.errors"}
PLUGIN_FOLDERS = (
    "sources", "detectors", "matchers", "trackers", "estimators", "writers", "viewers",
)  # fmt: skip

# (files, what they may import beside the standard library, standard modules that they may not);
# the first line that fits counts. "." stands for the file's own plug-in folder.
RULES: list[tuple[str, set[str], set[str]]] = [
    ("pipeline/transport.py", {"numpy", "msgspec", "pipeline", "zmq"}, set()),
    ("pipeline/outlets.py", {"numpy", "msgspec", "pipeline", "zmq"}, set()),
    ("pipeline/wiring.py", {"pipeline", "zmq"}, set()),
    ("pipeline/publishing.py", {"numpy", "msgspec", "pipeline", "zmq"}, set()),
    ("pipeline/listening.py", {"numpy", "pipeline", "zmq"}, set()),
    ("pipeline/keys.py", {"pipeline", "zmq"}, set()),
    ("pipeline/remote*.py", {"msgspec", "pipeline", "zmq"}, set()),
    ("pipeline/control_line.py", {"msgspec", "pipeline", "zmq"}, set()),
    ("pipeline/polling.py", {"zmq"}, set()),
    ("pipeline/config/__init__.py", {"pipeline", "pydantic"}, set()),
    ("pipeline/config/strict_yaml.py", {"pipeline", "yaml"}, set()),
    ("pipeline/config/*.py", {"pipeline"}, set()),
    ("pipeline/commands/*.py", {"pipeline", "typer", "rich"}, set()),
    ("pipeline/cli.py", {"pipeline", "typer", "rich"}, set()),
    ("pipeline/*.py", {"numpy", "msgspec", "pipeline"}, set()),
    ("nodes/__init__.py", {"pipeline.registry"}, set()),
    ("nodes/messages.py", {"numpy", "pipeline.messages", "nodes.vision.camera"}, ENGINE_ONLY),
    ("nodes/commands/*.py", {"numpy", "typer", "rich", "matplotlib", "nodes", "pipeline"}, set()),
    ("nodes/sources/calibrations/reading.py", PLUGIN | {".", "yaml"}, set()),
    ("nodes/sources/ros/rosbag.py", PLUGIN | {".", "rosbags"}, set()),
    ("nodes/sources/containers/*.py", {"numpy", "nodes.sources.containers"}, ENGINE_ONLY),
    ("nodes/sources/ros/mcap_file.py", PLUGIN | {".", "mcap", "rosbags"}, set()),
    ("nodes/networks/aliked.py", NETWORKS | {"kornia"}, ENGINE_ONLY),
    ("nodes/networks/xfeat.py", NETWORKS | {"onnxruntime"}, ENGINE_ONLY),
    ("nodes/networks/extractor.py", NETWORKS, ENGINE_ONLY - {"threading"}),
    ("nodes/networks/*.py", NETWORKS, ENGINE_ONLY),
    *((f"nodes/{f}/*.py", PLUGIN | {"."}, set()) for f in PLUGIN_FOLDERS),
    *((f"nodes/{f}/*/*.py", PLUGIN | {"."}, set()) for f in PLUGIN_FOLDERS),
    ("nodes/vision/robust/*.py", VISION | {"poselib"}, ENGINE_ONLY),
    ("nodes/vision/*.py", VISION, ENGINE_ONLY),
    ("nodes/vision/odometry/*.py", VISION, ENGINE_ONLY),
    (
        "nodes/*.py",
        {"numpy", "nodes.messages", "nodes.vision", "pipeline.node", "pipeline.errors"}
        | {f"nodes.{folder}" for folder in PLUGIN_FOLDERS},
        ENGINE_ONLY,
    ),
]


def modules(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, module) of every import of a file, also of those inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or "."


def is_allowed(module: str, allowed: set[str], name: str) -> bool:
    own = "." in allowed and module.startswith(".".join(Path(name).parts[:2]))
    return own or any(module == a or module.startswith(a + ".") for a in allowed)


def breaches(name: str, path: Path) -> Iterator[str]:
    pattern, allowed, forbidden = next(r for r in RULES if Path(name).match(r[0]))
    for line, module in modules(path):
        top = module.split(".")[0]
        standard = top in STDLIB and top not in forbidden
        if not standard and not is_allowed(module, allowed, name):
            yield f"{name}:{line} imports {module}: {pattern} may import {sorted(allowed)}"


FILES = sorted(p.relative_to(ROOT) for d in ("pipeline", "nodes") for p in (ROOT / d).rglob("*.py"))


@pytest.mark.parametrize("name", FILES, ids=str)
def test_every_file_imports_only_what_its_layer_may(name: Path) -> None:
    assert not list(breaches(str(name), ROOT / name))


def test_a_breach_is_found_and_named(tmp_path: Path) -> None:
    file = tmp_path / "pose.py"
    file.write_text("import numpy\nimport zmq\n")
    (found,) = breaches("nodes/pose.py", file)
    assert found.startswith("nodes/pose.py:2 imports zmq")
