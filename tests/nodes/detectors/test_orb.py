"""ORB: OpenCV's keypoints at the centres of pixels, and their order."""

import cv2
import numpy as np
import pytest
from two_view_scene import texture

from nodes.detectors.orb import Orb
from nodes.matchers.brute_force import BruteForce
from nodes.vision.keypoints import Keypoints, canonical_order

ROUGH = texture(0, 480, 640) ^ np.random.default_rng(0).integers(0, 32, (480, 640), np.uint8)


def detect(image: np.ndarray, mask: np.ndarray | None = None, **options: float) -> Keypoints:
    return Orb(Orb.Options(**options)).detect(image, mask)  # type: ignore[arg-type]


def test_descriptors_are_those_of_opencv_s_best_1000() -> None:
    points, descriptors = cv2.ORB.create(1000).detectAndCompute(ROUGH, None)
    found = detect(ROUGH)
    assert len(found.keypoints) == 1000
    assert found.descriptors.dtype == np.uint8
    rows = {(p.response, p.angle, d.tobytes()) for p, d in zip(points, descriptors, strict=True)}
    degrees = np.degrees(found.angles.astype(np.float64))
    for score, angle, descriptor in zip(found.scores, degrees, found.descriptors, strict=True):
        alike = [a for s, a, d in rows if s == score and d == descriptor.tobytes()]
        assert min(abs(a - angle) for a in alike) < 1e-3


@pytest.mark.parametrize("size", [(480, 640), (477, 639), (301, 413)])
def test_keypoints_of_a_mirrored_picture_are_mirrored_on_every_level(size: tuple[int, int]) -> None:
    image = np.ascontiguousarray(ROUGH[: size[0], : size[1]])
    found, other = detect(image), detect(np.ascontiguousarray(image[::-1, ::-1]))
    back = np.array([size[1] - 1, size[0] - 1]) - other.keypoints
    apart = np.linalg.norm(found.keypoints[:, None] - back[None], axis=2)
    sizes = np.unique(found.sizes)
    assert len(sizes) == 8  # OpenCV's own coordinates are up to 2 px off on the last
    for level in sizes:
        on_level, others = found.sizes == level, other.sizes == level
        nearest = apart[np.ix_(on_level, others)].min(axis=1)
        assert np.mean(nearest < 0.01) > 0.9


def test_a_shift_of_the_picture_is_found_from_the_matches() -> None:
    left, right = detect(ROUGH[:, :600]), detect(ROUGH[:, 24:624])
    matches, _ = BruteForce().match(left, right)
    moved = left.keypoints[matches[:, 0]] - right.keypoints[matches[:, 1]]
    assert len(matches) > 300
    assert np.median(moved, axis=0).tolist() == [24, 0]


def test_with_a_mask_the_best_inside_it_are_found() -> None:
    mask = np.zeros(ROUGH.shape, np.uint8)
    mask[:, 320:] = 255
    found = detect(ROUGH, mask, nfeatures=300)
    assert len(found.keypoints) > 250
    assert found.keypoints[:, 0].min() >= 319.5
    assert len(detect(ROUGH, np.zeros_like(mask)).keypoints) == 0


def test_equal_corners_are_in_order_of_their_place() -> None:
    image = np.full((300, 300), 90, np.uint8)
    for x in range(60, 260, 40):
        for y in range(60, 260, 40):
            image[y : y + 12, x : x + 12] = 200
    found = detect(cv2.GaussianBlur(image, None, 1.0), nlevels=1)
    assert len(found.keypoints) > 50
    assert len(np.unique(found.scores)) < len(found.scores) / 4
    assert canonical_order(found).tolist() == list(range(len(found.keypoints)))


@pytest.mark.parametrize(
    "options", [{"scaleFactor": 1.5}, {"nlevels": 3}, {"patchSize": 21}, {"fastThreshold": 45}]
)
def test_every_setting_reaches_opencv(options: dict[str, float]) -> None:
    points = cv2.ORB.create(500, **options).detect(ROUGH, None)
    expected = sorted(p.response for p in points)
    found = detect(ROUGH, nfeatures=500, **options)
    assert sorted(found.scores.tolist()) == pytest.approx(expected)
    assert set(found.sizes.tolist()) == {p.size for p in points}
    usual = {p.response for p in cv2.ORB.create(500).detect(ROUGH, None)}
    assert set(expected) != usual or set(found.sizes.tolist()) != {31.0}


def test_the_border_is_as_wide_as_set() -> None:
    for border in (31, 60):
        x, y = detect(ROUGH, nlevels=1, edgeThreshold=border).keypoints.T
        assert border <= x.min() <= border + 8
        assert border <= y.min() <= border + 8


def test_levels_without_a_pixel_are_left_out() -> None:
    for side in (1, 2, 5, 40):
        found = detect(ROUGH[:side, :side], nlevels=20, scaleFactor=4.0, edgeThreshold=2)
        assert found.descriptors.shape == (len(found.keypoints), 32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nfeatures": 0}, "nfeatures must be from 1 to 100000, not 0"),
        ({"scaleFactor": 1.0}, "scaleFactor must be more than 1 and at most 4, not 1.0"),
        ({"nlevels": 0}, "nlevels must be from 1 to 20, not 0"),
        ({"edgeThreshold": 1}, "edgeThreshold must be from 2 to 200, not 1"),
        ({"patchSize": 1}, "patchSize must be from 2 to 200, not 1"),
        ({"fastThreshold": 0}, "fastThreshold must be from 1 to 254, not 0"),
    ],
)
def test_settings_without_sense_are_errors(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError) as error:
        Orb.Options(**options)  # type: ignore[arg-type]
    assert str(error.value) == message
