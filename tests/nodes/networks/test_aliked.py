"""ALIKED: weights are those of the model or refused; keypoints are where the network scores."""

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from two_view_scene import texture

from nodes.detectors import DETECTORS
from nodes.vision.matching import find_neighbours, select_matches
from pipeline.errors import ConfigError, InputError, MissingDependencyError

pytest.importorskip("kornia")

from kornia.feature import ALIKED

from nodes.detectors.aliked import Aliked
from nodes.networks.aliked import LENGTHS, AlikedNetwork


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a tiny network that has learned nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = ALIKED("aliked-t16").state_dict()
    path: Path = tmp_path_factory.mktemp("weights") / "untrained.pth"
    torch.save(state, path)
    return path


@pytest.fixture
def published(data_dir: Callable[[str], Path]) -> str:
    path = data_dir("hom_graf").parents[1] / "weights" / "ALIKED" / "aliked-t16.pth"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    return str(path)


def colour(seed: int = 0, height: int = 96, width: int = 128) -> np.ndarray:
    return np.dstack([texture(seed + i, height, width) for i in range(3)])


def test_keypoints_are_the_pixels_where_the_score_is_highest(untrained: Path) -> None:
    network = AlikedNetwork("aliked-t16", untrained, 20, "cpu")
    score_map = torch.full((1, 1, 96, 128), 0.1)
    peaks = {(40, 30): 0.9, (100, 70): 0.8, (64, 48): 0.7}
    for (x, y), score in peaks.items():
        score_map[0, 0, y, x] = score
    features = torch.nn.functional.normalize(torch.ones(1, 64, 96, 128), dim=1)
    network._network.extract_dense_map = lambda values: (features, score_map)
    keypoints, scores, descriptors = network.run(colour(), None)
    assert np.allclose(keypoints, list(peaks), atol=1e-3)
    assert np.allclose(scores, list(peaks.values()), atol=1e-3)
    assert descriptors.shape == (3, 64)
    mask = np.ones((96, 128), np.uint8)
    mask[30, 40] = 0
    keypoints, _, _ = network.run(colour(), mask)
    assert np.allclose(keypoints, list(peaks)[1:], atol=1e-3)


def test_descriptors_are_of_unit_norm_and_repeat_to_the_bit(untrained: Path) -> None:
    detector = Aliked(Aliked.Options(weights=str(untrained), threshold=1e-4, max_keypoints=50))
    found, again = (detector.detect(colour()) for _ in range(2))
    assert 0 < len(found.keypoints) <= 50
    assert np.allclose(np.linalg.norm(found.descriptors, axis=1), 1, atol=1e-5)
    assert found.descriptors.tobytes() == again.descriptors.tobytes()
    assert found.keypoints.tobytes() == again.keypoints.tobytes()


def test_a_threshold_above_all_scores_leaves_nothing(untrained: Path) -> None:
    detector = Aliked(Aliked.Options(weights=str(untrained), threshold=0.9999))
    found = detector.detect(colour())
    assert found.keypoints.shape == (0, 2)
    assert found.descriptors.shape == (0, 64)


@pytest.mark.parametrize("size", [(8, 8), (8, 200), (300, 9), (7, 300), (1, 1)])
def test_images_of_any_size_are_taken(untrained: Path, size: tuple[int, int]) -> None:
    detector = Aliked(Aliked.Options(weights=str(untrained), threshold=1e-4))
    image = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    x, y = detector.detect(image).keypoints.T
    assert ((x > -0.5) & (x < size[1] - 0.5) & (y > -0.5) & (y < size[0] - 0.5)).all()


def test_weights_of_another_model_are_refused_in_one_line(untrained: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"untrained.pth does not hold the weights of aliked-n16"):
        AlikedNetwork("aliked-n16", untrained, 10, "cpu")
    state = torch.load(untrained, weights_only=True)
    del state["conv1.weight"]
    state["extra"] = torch.zeros(1)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(InputError) as error:
        AlikedNetwork("aliked-t16", tmp_path / "other.pth", 10, "cpu")
    assert str(error.value) == (
        f"{tmp_path / 'other.pth'} does not hold the weights of aliked-t16: conv1.weight is missing or too much"
    )


def test_a_grid_that_the_file_leaves_out_is_not_missed(untrained: Path, tmp_path: Path) -> None:
    state = torch.load(untrained, weights_only=True)
    del state["dkd.hw_grid"]  # as in the published files
    torch.save(state, tmp_path / "published.pth")
    AlikedNetwork("aliked-t16", tmp_path / "published.pth", 10, "cpu")


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04broken"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match="does not hold the weights of aliked-t16: ") as error:
        AlikedNetwork("aliked-t16", path, 10, "cpu")
    assert "\n" not in str(error.value)


def test_a_list_instead_of_named_weights_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(InputError, match="does not hold the weights"):
        AlikedNetwork("aliked-t16", tmp_path / "list.pth", 10, "cpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_keypoints": 0}, "max_keypoints must be at least 1, not 0"),
        ({"threshold": 0.0}, "threshold must be between 0 and 1, not 0.0"),
    ],
)
def test_settings_without_sense_are_errors(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as error:
        Aliked.Options(**options)  # type: ignore[arg-type]
    assert str(error.value) == message


def test_a_device_that_is_not_here_is_an_error(untrained: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA GPU here")
    with pytest.raises(ConfigError, match="device cuda"):
        Aliked(Aliked.Options(weights=str(untrained), device="cuda"))


def test_every_model_has_the_descriptors_that_the_table_says(untrained: Path) -> None:
    for model, length in LENGTHS.items():
        network = ALIKED(model, 10, detection_threshold=-1).eval()
        with torch.inference_mode():
            (found,) = network(torch.rand(1, 3, 64, 64))
        assert found.descriptors.shape[1] == length


class Without:
    """Finds no kornia."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "kornia":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_without_the_package_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "kornia"]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("nodes.detectors.aliked", "nodes.networks.aliked"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Without(), *sys.meta_path])
    with pytest.raises(MissingDependencyError) as error:
        DETECTORS.load("aliked")
    assert str(error.value) == (
        "detector 'aliked' needs the package kornia: pip install 'posestream[kornia]'"
    )


@pytest.mark.data
def test_homographies_of_graf_are_matched_as_published(
    published: str, data_dir: Callable[[str], Path]
) -> None:
    folder = data_dir("hom_graf")
    detector = Aliked(Aliked.Options(weights=published))
    images = [cv2.imread(str(folder / "frames" / f"{i:06d}.jpg"))[..., ::-1] for i in range(2)]
    found = [detector.detect(cv2.resize(image, (640, 512))) for image in images]
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    to_small = np.linalg.inv(shift) @ np.diag([0.8, 0.8, 1]) @ shift
    H = to_small @ np.loadtxt(folder / "H_1_2") @ np.linalg.inv(to_small)
    neighbours = find_neighbours(found[0].descriptors, found[1].descriptors)
    rows0, rows1 = select_matches(neighbours, cross_check=True).T
    there = cv2.perspectiveTransform(found[0].keypoints[rows0][None].astype(np.float64), H)[0]
    errors = np.linalg.norm(found[1].keypoints[rows1] - there, axis=1)
    assert np.count_nonzero(errors < 3) > 360
