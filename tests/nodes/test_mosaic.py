"""The mosaic joins what homographies join, and says what it leaves out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from nodes.messages import Frame, Mosaic, RelativePose
from nodes.mosaic import Mosaicker
from nodes.vision.camera import Camera
from pipeline.runner import run_node

CAMERA = Camera(160, 120, 120.0, 120.0, 79.5, 59.5)
Inputs = dict[str, Any]
Warnings = list[str]


def _wallpaper() -> np.ndarray:
    noise = np.random.default_rng(3).uniform(0, 255, (30, 200, 3)).astype(np.uint8)
    return cv2.resize(noise, (1600, 240), interpolation=cv2.INTER_CUBIC)


PICTURE = _wallpaper()


def _frame(seq: int, x: int, stream: str = "cam", camera: Camera = CAMERA) -> Frame:
    """Return the part of the picture that begins at column x."""
    image = PICTURE[60:180, x : x + 160].copy()
    return Frame(stream=stream, seq=seq, stamp_ns=seq * 1000, image=image, camera=camera)


def _pose(seq: int, dx: float, stream: str = "cam", **fields: Any) -> RelativePose:
    """Return the pose of a frame that shows what lies dx pixels right of the frame before."""
    H_cur_prev = np.array([[1, 0, -dx], [0, 1, 0], [0, 0, 1]], np.float64)
    values = {
        "seq_prev": seq - 1,
        "stamp_ns_prev": 0,
        "H_cur_prev": H_cur_prev,
        "label": "general",
    } | fields
    return RelativePose(
        stream=stream, seq=seq, stamp_ns=seq * 1000, num_matches=50, num_inliers=50, **values
    )


def _pan(num_frames: int, begin: int = 0, first_seq: int = 0, stream: str = "cam") -> list[Inputs]:
    """Return the inputs of frames that each begin 40 pixels right of the last."""
    inputs: list[Inputs] = [{"frame": _frame(first_seq, begin, stream)}]
    for i in range(1, num_frames):
        seq = first_seq + i
        inputs += [{"frame": _frame(seq, begin + 40 * i, stream), "pose": _pose(seq, 40, stream)}]
    return inputs


def _run(inputs: list[Inputs], **params: Any) -> tuple[list[Mosaic], Warnings]:
    warnings: Warnings = []
    node = Mosaicker(Mosaicker.Params(**params))
    return list(run_node(node, inputs, warn=warnings.append)), warnings


def test_pan_becomes_one_picture_within_2_grey_levels_of_the_truth() -> None:
    (mosaic,), warnings = _run(_pan(6))
    assert not warnings
    assert (mosaic.stream, mosaic.seq, mosaic.stamp_ns, mosaic.num_frames) == ("cam", 5, 5000, 6)
    height, width = mosaic.mask.shape
    assert mosaic.image.shape == (height, width, 3)
    assert mosaic.origin == (0, 0) and mosaic.canvas_size == (width, height)
    assert width == pytest.approx(360, abs=6)
    truth = PICTURE[62 : 62 + height, 2 : 2 + width].astype(float)
    assert np.abs(truth - mosaic.image)[mosaic.mask > 0].mean() < 2


def test_frame_without_pose_begins_a_new_segment_and_the_longest_one_is_sent() -> None:
    inputs = _pan(3) + _pan(5, begin=600, first_seq=3) + _pan(2, begin=1000, first_seq=8)
    (mosaic,), warnings = _run(inputs)
    assert mosaic.num_frames == 5 and mosaic.seq == 7
    truth = PICTURE[62 : 62 + mosaic.image.shape[0], 602 : 602 + mosaic.image.shape[1]]
    assert np.abs(truth.astype(float) - mosaic.image).mean() < 2
    assert warnings == [
        "stream 'cam': the panorama shows the longest unbroken segment, 5 frames; "
        "5 frames of other segments are left out"
    ]


BREAKS = {
    "no homography": {"H_cur_prev": None, "reason": "too_few_matches: 6 < 8"},
    "degenerate homography": {"H_cur_prev": np.diag([-1.0, 1.0, 1.0])},
    "pose to an earlier frame": {"seq_prev": 1},
}


@pytest.mark.parametrize("name", BREAKS)
def test_segment_ends_where_the_chain_breaks(name: str) -> None:
    inputs = _pan(4)
    inputs += [{"frame": _frame(4, 160), "pose": _pose(4, 40, **BREAKS[name])}]
    (mosaic,), warnings = _run(inputs)
    assert mosaic.num_frames == 4
    assert "1 frames of other segments" in warnings[0]


def test_frames_left_out_between_two_frames_do_not_break_the_chain() -> None:
    inputs = _pan(3)
    inputs += [{"frame": _frame(7, 120), "pose": _pose(7, 40, seq_prev=2)}]
    (mosaic,), warnings = _run(inputs)
    assert mosaic.num_frames == 4 and not warnings


def test_another_camera_begins_a_new_segment() -> None:
    inputs = _pan(2)
    camera = Camera(160, 120, 90.0, 90.0, 79.5, 59.5)
    inputs += [{"frame": _frame(2, 80, camera=camera), "pose": _pose(2, 40)}]
    (mosaic,), _ = _run(inputs)
    assert mosaic.num_frames == 2


def test_frame_on_its_own_is_no_panorama_and_a_warning_says_so() -> None:
    assert _run(_pan(1)) == ([], ["stream 'cam': no panorama of a single frame"])
    assert _run(_pan(1) + _pan(1, first_seq=1)) == (
        [],
        ["stream 'cam': no panorama, because no two frames in a row could be joined"],
    )


def test_streams_are_kept_apart() -> None:
    left, right = _pan(3, stream="left"), _pan(4, begin=700, stream="right")
    mixed = [*left[:2], *right[:3], *left[2:], *right[3:]]
    mosaics, warnings = _run(mixed)
    assert {m.stream: m.num_frames for m in mosaics} == {"left": 3, "right": 4}
    assert not warnings


def test_node_can_go_on_with_a_stream_of_the_same_name_after_its_flush() -> None:
    node = Mosaicker()
    for _ in range(2):
        assert [m.num_frames for m in run_node(node, _pan(3))] == [3]
    assert list(node.flush("unheard of")) == []


def test_picture_keeps_within_max_megapixels() -> None:
    (mosaic,), _ = _run(_pan(36), max_megapixels=0.1)
    assert mosaic.mask.size <= 100_000
    assert mosaic.num_frames == 36


def test_frames_that_hardly_moved_are_not_drawn() -> None:
    (mosaic,), warnings = _run(_pan(9), min_motion=0.39)  # 78 pixels: every other frame
    assert mosaic.num_frames == 5 and not warnings


def test_frames_that_do_not_fit_the_plane_are_counted_in_a_warning() -> None:
    c, s = np.cos(np.pi / 9), np.sin(np.pi / 9)
    H_cur_prev = CAMERA.K @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]) @ np.linalg.inv(CAMERA.K)
    inputs = _pan(1)
    for seq in range(1, 10):
        inputs += [{"frame": _frame(seq, 0), "pose": _pose(seq, 0, H_cur_prev=H_cur_prev)}]
    (mosaic,), warnings = _run(inputs, projection="plane")
    num_missing = 10 - mosaic.num_frames
    assert num_missing > 0
    assert warnings == [
        f"stream 'cam': {num_missing} frames are too far aside to be drawn in the panorama"
    ]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"projection": "cube"}, "projection must be one of auto, plane, sphere, not 'cube'"),
        ({"max_megapixels": 0}, "max_megapixels must be 0.1 to 1000, not 0"),
        ({"min_motion": 1.5}, "min_motion must be at least 0 and less than 1, not 1.5"),
    ],
)
def test_setting_out_of_range_is_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        Mosaicker.Params(**params)
    assert str(error.value) == message


def _photographs(folder: Path) -> list[Inputs]:
    """Return the inputs of photographs, with homographies estimated by OpenCV."""
    sift = cv2.SIFT_create(2000)
    inputs: list[Inputs] = []
    prev = None
    for seq, path in enumerate(sorted((folder / "frames").iterdir())):
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        height, width = image.shape[:2]
        camera = Camera(
            width, height, width, width, (width - 1) / 2, (height - 1) / 2, calibrated=False
        )
        frame = Frame(stream="cam", seq=seq, stamp_ns=seq, image=image, camera=camera)
        keypoints, descriptors = sift.detectAndCompute(image, None)
        points = np.float32([k.pt for k in keypoints])
        cur = points, descriptors
        inputs += [{"frame": frame}]
        if prev is not None:
            inputs[-1]["pose"] = _pose(seq, 0, H_cur_prev=_homography(*prev, *cur))
        prev = cur
    return inputs


def _homography(points_prev, descriptors_prev, points_cur, descriptors_cur) -> np.ndarray:
    pairs = cv2.BFMatcher().knnMatch(descriptors_prev, descriptors_cur, k=2)
    good = [a for a, b in pairs if a.distance < 0.75 * b.distance]
    rows = np.array([(m.queryIdx, m.trainIdx) for m in good])
    args = points_prev[rows[:, 0]], points_cur[rows[:, 1]], cv2.USAC_MAGSAC, 2.0
    return cv2.findHomography(*args)[0]


@pytest.mark.data
def test_three_photographs_of_a_hill_become_one_panorama(
    data_dir: Callable[[str], Path],
) -> None:
    inputs = _photographs(data_dir("pano_hill"))
    (mosaic,), warnings = _run(inputs)
    height, width = mosaic.mask.shape
    assert not warnings and mosaic.num_frames == 3
    assert width == pytest.approx(740, abs=8) and height == pytest.approx(362, abs=8)
    assert (mosaic.mask > 0).mean() > 0.85
    assert _correlation(mosaic, inputs[1]["frame"].image) > 0.97  # the middle one keeps its shape


@pytest.mark.data
def test_photographs_all_around_become_one_panorama_of_a_turn(
    data_dir: Callable[[str], Path],
) -> None:
    folder = data_dir("pano_parrington")
    (mosaic,), warnings = _run(_photographs(folder))
    focal = np.loadtxt(folder / "focal.txt")[:, 1].mean()
    assert not warnings and mosaic.num_frames == 18
    # 18 views over a full turn, the last one ending where the first one begins, or a bit beyond
    assert 0.95 < mosaic.mask.shape[1] / (2 * np.pi * focal) < 1.1
    assert mosaic.mask.shape[0] < 1.15 * 512


def _correlation(mosaic: Mosaic, image: np.ndarray) -> float:
    """Return how well the inner part of an image is found in the panorama, 1 for perfectly."""
    inner = image[40:-40, 60:-60]
    return float(cv2.matchTemplate(mosaic.image, inner, cv2.TM_CCOEFF_NORMED).max())
