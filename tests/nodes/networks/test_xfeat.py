"""XFeat: what is made of the network's maps, and known homographies with the published weights."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from two_view_scene import texture

from nodes.detectors import DETECTORS
from nodes.vision.keypoints import Keypoints
from nodes.vision.matching import find_neighbours, select_matches
from pipeline.errors import InputError, MissingDependencyError

pytest.importorskip("onnxruntime")

from nodes.detectors.xfeat import XFeat, find_peaks, sample, stretch
from nodes.networks.xfeat import CELL, SIDE, Maps, XFeatNetwork, to_heatmap


@pytest.fixture
def weights(data_dir: Callable[[str], Path]) -> str:
    path = data_dir("hom_graf").parents[1] / "weights" / "XFeat" / "xfeat_official_dense.onnx"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    return str(path)


class Given:
    """A network that finds what it was told to, whatever the picture."""

    def __init__(self, peaks: dict[tuple[int, int], float]) -> None:
        self.heatmap = np.zeros((SIDE, SIDE), np.float32)
        for (x, y), probability in peaks.items():
            self.heatmap[y, x] = probability

    def run(self, picture: np.ndarray) -> Maps:
        assert picture.shape == (SIDE, SIDE, 3)
        cells = SIDE // CELL
        rows, columns = np.mgrid[:cells, :cells].astype(np.float32) / cells
        descriptors = np.zeros((cells, cells, 64), np.float32)
        descriptors[..., 0], descriptors[..., 1], descriptors[..., 2] = rows, columns, 1
        return Maps(self.heatmap, np.full((cells, cells), 0.5, np.float32), descriptors)


def given(peaks: dict[tuple[int, int], float], **options: float) -> XFeat:
    detector = XFeat.__new__(XFeat)
    detector.options = XFeat.Options(**options)  # type: ignore[arg-type]
    detector._network = Given(peaks)  # type: ignore[assignment]
    return detector


def test_the_channels_of_a_cell_are_its_pixels_row_by_row() -> None:
    logits = np.zeros((65, 3, 4), np.float32)
    logits[8 * 5 + 2, 1, 3] = 20  # row 5 and column 2 of the cell in row 1 and column 3
    logits[64, 0, 0] = 20  # no keypoint in the first cell
    heatmap = to_heatmap(logits)
    assert heatmap.shape == (24, 32)
    assert np.unravel_index(heatmap.argmax(), heatmap.shape) == (8 + 5, 24 + 2)
    assert heatmap.max() == pytest.approx(1, abs=1e-6)
    assert heatmap[:8, :8].max() < 1e-6
    assert heatmap[16, 0] == pytest.approx(1 / 65)


def test_huge_logits_are_no_trouble() -> None:
    heatmap = to_heatmap(np.full((65, 1, 1), 1e4, np.float32))
    assert np.allclose(heatmap, 1 / 65)


def test_a_peak_is_the_best_of_its_5_by_5_pixels_and_above_the_threshold() -> None:
    heatmap = np.zeros((40, 50), np.float32)
    heatmap[10, 20], heatmap[12, 22] = 0.5, 0.4  # the second is two pixels off on each axis
    heatmap[10, 23] = 0.3  # three pixels off the first, but beside the second
    heatmap[30, 5], heatmap[30, 8] = 0.2, 0.1
    heatmap[0, 0], heatmap[39, 49] = 0.06, 0.04
    found = {tuple(row) for row in find_peaks(heatmap, 0.05).tolist()}
    assert found == {(20, 10), (5, 30), (8, 30), (0, 0)}


def test_sampling_is_bilinear_and_goes_on_beyond_the_edge() -> None:
    maps = np.stack(np.meshgrid(np.arange(6), np.arange(4)), axis=-1).astype(np.float32)
    points = np.array([[0, 0], [2.25, 1.5], [5, 3], [-0.4, 2], [5.4, 3.4]])
    expected = [[0, 0], [2.25, 1.5], [5, 3], [0, 2], [5, 3]]
    assert np.allclose(sample(maps, points), expected)


@pytest.mark.parametrize("size", [(480, 640), (376, 1241), (900, 500), (1, 3), (640, 640)])
def test_a_picture_is_stretched_edge_to_edge(size: tuple[int, int]) -> None:
    ramp = np.linspace(0, 200, size[1]).astype(np.uint8)[None].repeat(size[0], axis=0)
    stretched = stretch(ramp)
    assert stretched.shape == (SIDE, SIDE, 3)
    assert np.ptp(stretched, axis=2).max() == 0
    centres = (np.arange(SIDE) + 0.5) * size[1] / SIDE - 0.5
    expected = np.interp(centres, np.arange(size[1]), ramp[0].astype(float))
    assert np.abs(stretched[:, :, 0] - expected)[:, 2:-2].max() <= (2 if size[1] > 3 else 70)


def test_keypoints_are_mapped_back_from_centre_to_centre() -> None:
    image = texture(0, 320, 1280)
    found = given({(0, 0): 0.9, (100, 300): 0.8, (639, 639): 0.7}).detect(image)
    assert found.keypoints.tolist() == [[0.5, -0.25], [200.5, 149.75], [1278.5, 319.25]]
    assert found.scores == pytest.approx([0.45, 0.4, 0.35])
    assert found.sizes.tolist() == [10.0] * 3
    assert np.isnan(found.angles).all()
    assert np.allclose(np.linalg.norm(found.descriptors, axis=1), 1)
    row, column = found.descriptors[1, :2] / found.descriptors[1, 2] * 80
    assert (column, row) == (pytest.approx(100.5 / 8 - 0.5, rel=1e-3), pytest.approx(300.5 / 8 - 0.5, rel=1e-3))  # fmt: skip


def test_the_best_inside_the_mask_are_kept() -> None:
    mask = np.zeros((320, 1280), np.uint8)
    mask[:, 600:] = 1
    detector = given(
        {(10, 10): 0.9, (400, 10): 0.5, (500, 10): 0.7, (600, 9): 0.6}, max_keypoints=2
    )
    found = detector.detect(texture(0, 320, 1280), mask)
    assert found.scores == pytest.approx([0.35, 0.3])


def test_the_threshold_is_a_setting() -> None:
    peaks = {(10, 10): 0.2, (400, 10): 0.04}
    image = texture(0)
    assert len(given(peaks).detect(image).scores) == 1
    assert len(given(peaks, threshold=0.03).detect(image).scores) == 2
    assert len(given(peaks, threshold=0.3).detect(image).scores) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_keypoints": 0}, "max_keypoints must be at least 1, not 0"),
        ({"threshold": 0.0}, "threshold must be between 0 and 1, not 0.0"),
        ({"threshold": 1.0}, "threshold must be between 0 and 1, not 1.0"),
    ],
)
def test_settings_without_sense_are_errors(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError) as error:
        XFeat.Options(**options)  # type: ignore[arg-type]
    assert str(error.value) == message


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"model.onnx is no ONNX model: "):
        XFeat(XFeat.Options(weights=str(path)))


@pytest.mark.data
def test_another_model_is_refused(data_dir: Callable[[str], Path]) -> None:
    path = data_dir("hom_graf").parents[1] / "weights" / "XFeat" / "xfeat_1024_640x360.onnx"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    with pytest.raises(InputError, match="is no dense export of XFeat: it makes"):
        XFeatNetwork(path)


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The modules of this detector, to be imported anew."""
    for name in ("nodes.detectors.xfeat", "nodes.networks.xfeat"):
        monkeypatch.delitem(sys.modules, name)
    yield monkeypatch


def test_without_the_package_the_command_that_installs_it_is_named(
    forgotten: pytest.MonkeyPatch,
) -> None:
    forgotten.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError) as error:
        DETECTORS.load("xfeat")
    assert str(error.value) == (
        "detector 'xfeat' needs the package onnxruntime: pip install 'posestream[onnx]'"
    )


def correct(found0: Keypoints, found1: Keypoints, H_1_0: np.ndarray) -> np.ndarray:
    """Return the errors (M, 2), pixels, of the mutual matches that are right within 3 px."""
    neighbours = find_neighbours(found0.descriptors, found1.descriptors)
    rows0, rows1 = select_matches(neighbours, cross_check=True).T
    there = cv2.perspectiveTransform(found0.keypoints[rows0][None].astype(np.float64), H_1_0)[0]
    errors = found1.keypoints[rows1] - there
    return errors[np.linalg.norm(errors, axis=1) < 3]


@pytest.mark.data
def test_homographies_of_graf_are_matched_as_published(
    weights: str, data_dir: Callable[[str], Path]
) -> None:
    folder = data_dir("hom_graf")
    detector = XFeat(XFeat.Options(weights=weights))
    images = [cv2.imread(str(folder / "frames" / f"{i:06d}.jpg"))[..., ::-1] for i in range(3)]
    found = [detector.detect(cv2.resize(image, (640, 512))) for image in images]
    scale = np.diag([640 / 800, 512 / 640, 1])
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    to_small = np.linalg.inv(shift) @ scale @ shift
    for i, least in ((1, 240), (2, 150)):
        H = to_small @ np.loadtxt(folder / f"H_1_{i + 1}") @ np.linalg.inv(to_small)
        assert len(correct(found[0], found[i], H)) > least
