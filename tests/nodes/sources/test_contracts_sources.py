"""What every entry of the registry of sources must keep."""

import dataclasses
import json
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import cv2
import numpy as np
import pytest
import ros_bags
from layouts import write_euroc, write_kitti, write_tum
from recordings import jpeg

from nodes.sources import SOURCES
from nodes.sources.base import FrameSource, Selection
from nodes.sources.ffmpeg import prepare_environment
from nodes.sources.stdin import StandardInput

NUM_FRAMES = 6
GIVEN: dict[str, dict[str, Any]] = {
    "camera": {}, "synthetic": {}, "url": {"url": "rtsp://user:password@nowhere.invalid/1"},
}  # fmt: skip
"""Options under which a source can be constructed; the others take a path."""
RECORDED = [name for name in SOURCES.names() if not SOURCES.load(name).live]


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Options under which each source gives NUM_FRAMES frames of 64x48."""
    root = tmp_path_factory.mktemp("inputs")
    ros2 = ros_bags.pictures(ros_bags.ROS2, NUM_FRAMES)
    frames = root / "data" / "frames"
    frames.mkdir(parents=True)
    pictures = [np.random.default_rng(i).integers(0, 255, (48, 64, 3), np.uint8) for i in range(6)]
    prepare_environment()
    fourcc = cv2.VideoWriter.fourcc(*"MJPG")
    video = cv2.VideoWriter(str(root / "video.avi"), cv2.CAP_FFMPEG, fourcc, 25, (64, 48))
    for i, picture in enumerate(pictures):
        video.write(picture)
        cv2.imwrite(str(frames / f"{i}.png"), picture)
    video.release()
    (root / "images").write_bytes(b"".join(jpeg(picture) for picture in pictures))
    (root / "euroc").mkdir()
    return {
        "video": {"path": str(root / "video.avi")},
        "folder": {"path": str(frames)},
        "dataset": {"path": str(frames.parent)},
        "tum": {"path": str(write_tum(root / "tum", NUM_FRAMES))},
        "kitti": {"path": str(write_kitti(root / "kitti", NUM_FRAMES))},
        "euroc": {"path": str(write_euroc(root / "euroc", NUM_FRAMES))},
        "rosbag": {"path": str(ros_bags.write_ros2(root / "bag", ros2))},
        "mcap": {"path": str(ros_bags.write_mcap(root / "bag.mcap", ros2))},
        "stdin": {"path": str(root / "images")},
        "synthetic": {"frames": NUM_FRAMES, "width": 64, "height": 48},
    }


@pytest.fixture(params=RECORDED)
def source(request: pytest.FixtureRequest, options: dict[str, dict[str, Any]]) -> FrameSource:
    created: FrameSource = SOURCES.create(request.param, options[request.param])
    created.open(lambda text: None)
    return created


@pytest.mark.parametrize("name", SOURCES.names())
def test_every_source_has_options_with_a_type_a_default_and_a_line_of_help(name: str) -> None:
    cls = SOURCES.load(name)
    assert issubclass(cls, FrameSource) and cls.Options.__doc__
    hints = get_type_hints(cls.Options, include_extras=True)
    for field in dataclasses.fields(cls.Options):
        assert get_origin(hints[field.name]) is Annotated, field.name
        assert isinstance(get_args(hints[field.name])[-1], str), field.name
        assert field.default is not dataclasses.MISSING, field.name


@pytest.mark.parametrize("name", SOURCES.names())
def test_construction_touches_no_file_and_no_device(name: str) -> None:
    source = SOURCES.create(name, GIVEN.get(name, {"path": "no/such/input"}))
    assert source.name
    assert isinstance(source.live, bool)
    source.close()


def test_pictures_are_uint8_numbered_from_0_and_rise_in_time(source: FrameSource) -> None:
    pictures = list(source.frames(Selection()))
    assert [p.index for p in pictures] == list(range(NUM_FRAMES))
    for picture in pictures:
        assert picture.image is not None and picture.image.dtype == np.uint8
        assert picture.image.shape == (48, 64, 3) and picture.image.flags["C_CONTIGUOUS"]
        assert type(picture.stamp_ns) is int and type(picture.index) is int
    assert np.diff([p.stamp_ns for p in pictures]).min() > 0


def test_length_and_size_are_known_after_open(source: FrameSource) -> None:
    if isinstance(source, StandardInput):
        assert (source.length(), source.size) == (None, None)
    else:
        assert (source.length(), source.size) == (NUM_FRAMES, (64, 48))


@pytest.mark.parametrize("selection", [Selection(2), Selection(1, 5, 3), Selection(0, 99, 4)])
def test_a_selection_gives_the_same_pictures_as_the_whole(
    selection: Selection, source: FrameSource
) -> None:
    every = list(source.frames(Selection()))
    chosen = list(source.frames(selection))
    assert [p.index for p in chosen] == list(selection.indices(NUM_FRAMES))
    for picture in chosen:
        np.testing.assert_array_equal(picture.image, every[picture.index].image)
        assert picture.stamp_ns == every[picture.index].stamp_ns


def test_pictures_do_not_share_memory(source: FrameSource) -> None:
    first, second = list(source.frames(Selection(stop=2)))
    assert first.image is not None and second.image is not None
    assert not np.shares_memory(first.image, second.image)


@pytest.mark.parametrize("name", [name for name in RECORDED if name != "synthetic"])
def test_pictures_are_decoded_into_the_memory_that_is_asked_for(
    name: str, options: dict[str, dict[str, Any]]
) -> None:
    made = []

    def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        made.append(np.empty(shape, dtype))
        return made[-1]

    source = SOURCES.create(name, options[name])
    source.empty = empty
    source.open(lambda text: None)
    images = [picture.image for picture in source.frames(Selection())]
    assert len(images) == NUM_FRAMES
    assert all(any(np.shares_memory(image, array) for array in made) for image in images)


def test_the_truth_has_one_pose_for_each_stamp(source: FrameSource) -> None:
    truth = source.groundtruth()
    if truth is not None:
        assert truth[0].dtype == np.int64 and truth[1].shape == (len(truth[0]), 4, 4)


def test_a_source_in_the_middle_can_be_closed(source: FrameSource) -> None:
    next(iter(source.frames(Selection())))
    source.close()


@pytest.mark.parametrize("name", SOURCES.names())
def test_a_source_is_rebuilt_from_the_configuration_that_a_run_leaves(name: str) -> None:
    source = SOURCES.create(name, GIVEN.get(name, {"path": "no/such/input"}))
    written = json.loads(json.dumps(dataclasses.asdict(source.options)))
    rebuilt = SOURCES.create(name, written)
    assert json.loads(json.dumps(dataclasses.asdict(rebuilt.options))) == written
    assert rebuilt.name == source.name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(rebuilt.options, dataclasses.fields(rebuilt.options)[0].name, None)
