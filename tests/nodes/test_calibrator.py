"""The calibrator: streams of matches whose camera is unknown, or only pretended to be."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pytest

from nodes.calibrator import Calibrator
from nodes.capture import Capture
from nodes.detector import Detector
from nodes.matcher import Matcher
from nodes.messages import Matches
from nodes.vision.camera import Camera
from nodes.vision.se3 import from_rotation_vector, transform
from pipeline.errors import ConfigError
from pipeline.node import Notice, Resources

Float = npt.NDArray[np.float64]
Path = Callable[[int], Float]
"""T_cam_world of each frame."""

TRUE = Camera(640, 480, 700.0, 700.0, 319.5, 239.5)
ASSUMED = Camera.assumed(640, 480)
NUM_POINTS = 250


@dataclass
class Heard:
    """What a node tells the user."""

    warnings: list[str] = field(default_factory=list)
    reports: list[tuple[str, float]] = field(default_factory=list)


def opened(seed: int = 0, **params: object) -> tuple[Calibrator, Heard]:
    heard = Heard()
    node = Calibrator(Calibrator.Params(**params))
    node.open(
        Resources(
            seed=seed,
            warn=heard.warnings.append,
            report=lambda name, value: heard.reports.append((name, value)),
        )
    )
    return node, heard


def swaying(frame: int) -> Float:
    """The pose T_cam_world of somebody who looks about and steps aside, back and forth."""
    turn = np.radians(
        [4 * np.sin(0.31 * frame), 8 * np.sin(0.17 * frame), 5 * np.sin(0.23 * frame)]
    )
    step = [0.5 * np.sin(0.13 * frame), 0.3 * np.sin(0.29 * frame), 0.2 * np.sin(0.11 * frame)]
    return from_rotation_vector(turn, np.array(step))


def rolling_forward(frame: int) -> Float:
    return from_rotation_vector(np.zeros(3), np.array([0, 0, -0.03 * frame]))


def still(frame: int) -> Float:
    return from_rotation_vector(np.zeros(3), np.zeros(3))


def walk(
    path: Path = swaying,
    num_frames: int = 60,
    *,
    flat: bool = False,
    outliers: float = 0.3,
    noise_px: float = 0.5,
    stream: str = "cam",
    camera: Camera = ASSUMED,
    first: int = 0,
) -> list[Matches]:
    """Follow the same points over a path; some of them jump about without any sense."""
    rng = np.random.default_rng(3)
    rays = np.column_stack([rng.uniform(-0.35, 0.35, (NUM_POINTS, 2)), np.ones(NUM_POINTS)])
    depths = 4 + rays[:, 0] if flat else rng.uniform(2, 8, NUM_POINTS)
    points = rays * depths[:, None]
    num_wrong = round(outliers * NUM_POINTS)
    seen = []
    for frame in range(first, first + num_frames + 1):
        pixels = TRUE.project(transform(path(frame), points))
        pixels += rng.normal(0, noise_px, pixels.shape)
        pixels[:num_wrong] = rng.uniform(0, (640, 480), (num_wrong, 2))
        seen.append(np.nan_to_num(pixels).astype(np.float32))
    index = np.arange(NUM_POINTS)
    return [
        Matches(
            stream=stream, seq=first + i + 1, stamp_ns=i + 1, seq_prev=first + i, stamp_ns_prev=i,
            keypoints_prev=seen[i].copy(), keypoints_cur=seen[i + 1].copy(),
            ids_prev=index + 1000 * i, ids_cur=index + 1000 * (i + 1),
            matches=np.column_stack([index, index]).astype(np.int32),
            match_scores=np.ones(NUM_POINTS, np.float32), camera=camera,
        )
        for i in range(num_frames)
    ]  # fmt: skip


def passed(node: Calibrator, messages: Iterable[Matches]) -> list[Matches]:
    return [out for message in messages for out in node.process(message)]


def focals(messages: Iterable[Matches]) -> list[float]:
    return [message.camera.fx for message in messages]


def test_the_focal_length_is_found_within_3_percent_and_then_stays() -> None:
    node, heard = opened()
    before = walk()
    after = passed(node, before)
    assert len(after) == len(before)
    assert after[0] is before[0]
    assert after[-1].camera.fx == after[-1].camera.fy == pytest.approx(TRUE.fx, rel=0.03)
    found = focals(after)
    assert len(set(found)) == 2
    assert sorted(found) == found
    assert heard.reports == [("focal_px", after[-1].camera.fx)]


def test_the_estimate_is_no_calibration_and_says_so_with_its_spread() -> None:
    node, heard = opened()
    camera = passed(node, walk())[-1].camera
    assert not camera.calibrated
    assert camera.focal_source == "matches"
    assert (camera.cx, camera.cy, camera.distortion) == (ASSUMED.cx, ASSUMED.cy, ())
    (warning,) = heard.warnings
    low, high = round(camera.fx / 1.07), round(camera.fx * 1.07)
    assert warning.startswith(
        f"stream 'cam': focal length {camera.fx:.0f} px from 8 pairs (spread "
    )
    assert warning.endswith("px); still uncalibrated")
    spread = [int(word.strip("(")) for word in warning.split() if word.strip("(").isdigit()][2:]
    assert 0.9 * low < spread[0] <= low < high <= spread[1] < 1.1 * high


def test_only_the_camera_of_the_matches_changes() -> None:
    node, _ = opened()
    before = walk()
    after = passed(node, before)
    assert after[-1].camera != before[-1].camera
    assert after[-1].keypoints_cur is before[-1].keypoints_cur
    assert (after[-1].seq, after[-1].seq_prev) == (before[-1].seq, before[-1].seq_prev)


@pytest.mark.parametrize(
    "camera",
    [TRUE, Camera.uncalibrated(640, 480, 640.0, "exif")],
    ids=["calibrated", "by EXIF"],
)
def test_a_camera_that_is_better_known_passes_untouched(camera: Camera) -> None:
    node, heard = opened()
    before = walk(camera=camera)
    assert all(out is given for out, given in zip(passed(node, before), before, strict=True))
    node.flush("cam")
    assert heard.warnings == heard.reports == []


@pytest.mark.parametrize(
    ("path", "flat", "outliers"),
    [
        pytest.param(rolling_forward, False, 0.3, id="forward"),
        pytest.param(still, False, 0.3, id="static"),
        pytest.param(swaying, True, 0.0, id="plane"),
        pytest.param(swaying, False, 1.0, id="outliers"),
    ],
)
def test_what_cannot_tell_the_focal_length_leaves_the_assumed_one_and_says_so(
    path: Path, flat: bool, outliers: float
) -> None:
    node, heard = opened()
    after = passed(node, walk(path, flat=flat, outliers=outliers))
    assert set(focals(after)) == {ASSUMED.fx}
    assert list(node.flush("cam")) == []
    (warning,) = heard.warnings
    assert warning.startswith("stream 'cam': the focal length stays the assumed 554 px (")
    assert warning.endswith("); give --camera FILE")


def test_pairs_that_disagree_are_given_up_after_a_while() -> None:
    node, heard = opened(pairs=2, max_spread=0.001)
    assert set(focals(passed(node, walk()))) == {ASSUMED.fx}
    assert "8 pairs differ by " in heard.warnings[0]
    node.flush("cam")
    assert len(heard.warnings) == 1


def test_pairs_that_never_tell_are_given_up_after_a_while() -> None:
    node, heard = opened(pairs=2)
    passed(node, walk(outliers=1.0)[::2])  # each a pair of its own
    assert "(0 of 24 pairs tell it)" in heard.warnings[0]


def test_streams_do_not_mix() -> None:
    alone, _ = opened()
    expected = focals(passed(alone, walk(stream="left")))
    node, heard = opened()
    left, right = walk(stream="left"), walk(still, stream="right")
    mixed = passed(node, (m for pair in zip(left, right, strict=True) for m in pair))
    assert focals(mixed[::2]) == expected
    assert set(focals(mixed[1::2])) == {ASSUMED.fx}
    assert [warning.split(":")[0] for warning in heard.warnings] == ["stream 'left'"]


def test_a_break_starts_anew() -> None:
    node, heard = opened()
    messages = walk(num_frames=120)
    assert passed(node, messages[:60])[-1].camera.focal_source == "matches"
    node.notice("matches", Notice("break", "cam", 60, 60, "size_changed"))
    after = passed(node, messages[60:])
    assert after[0].camera == ASSUMED
    assert after[-1].camera.focal_source == "matches"
    assert len(heard.reports) == 2


@pytest.mark.parametrize("kind", ["skip", "error", "gap"])
def test_a_frame_without_matches_changes_nothing(kind) -> None:
    node, _ = opened()
    messages = walk(num_frames=70)
    known = passed(node, messages[:60])[-1].camera
    node.notice("matches", Notice(kind, "cam", 60, 60, "too_late"))
    assert passed(node, messages[61:])[0].camera == known


def test_another_camera_starts_anew() -> None:
    node, _ = opened()
    passed(node, walk())
    (other,) = passed(node, walk(num_frames=1, camera=Camera.assumed(320, 240)))
    assert other.camera == Camera.assumed(320, 240)


def test_matches_that_skip_frames_are_not_chained() -> None:
    node, _ = opened()
    every_other = walk()[::2]
    assert set(focals(passed(node, every_other))) == {ASSUMED.fx}


@pytest.mark.parametrize(
    ("name", "focal_px"),
    [
        ("tum_fr3_office", 537),
        pytest.param("redkitchen", 525, marks=pytest.mark.long),
    ],
)
def test_real_pictures_tell_the_focal_length_within_10_percent(
    name: str, focal_px: float, data_dir
) -> None:
    capture = Capture(
        Capture.Params(source="dataset", options={"path": str(data_dir(name))}, stop=110)
    )
    detector, matcher = Detector(), Matcher()
    node, _ = opened()
    for part in (capture, detector, matcher):
        part.open(Resources(node="cam"))
    camera = ASSUMED
    for frame in capture.produce():
        for features in detector.process(replace(frame, camera=ASSUMED)):
            for matches in matcher.process(features):
                if isinstance(matches, Matches):
                    (after,) = node.process(matches)
                    camera = after.camera
    assert camera.focal_source == "matches"
    assert camera.fx == pytest.approx(focal_px, rel=0.1)


def test_everything_repeats_to_the_bit() -> None:
    runs = [focals(passed(opened(seed=4)[0], walk())) for _ in range(2)]
    assert runs[0] == runs[1]


def test_matches_without_points_pass() -> None:
    node, _ = opened()
    (message,) = walk(num_frames=1)
    empty = replace(
        message, matches=np.empty((0, 2), np.int32), match_scores=np.empty(0, np.float32)
    )
    assert passed(node, [empty])[0] is empty


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"pairs": 1}, "pairs must be at least 2, not 1"),
        ({"max_spread": 0.0}, "max_spread must be between 0 and 1, not 0.0"),
    ],
)
def test_parameters_out_of_range_are_refused(params: dict[str, float], message: str) -> None:
    with pytest.raises((ValueError, ConfigError), match=message):
        Calibrator.Params(**params)
