from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from nodes.sources.base import Selection
from nodes.sources.data_sets.dataset import Dataset
from nodes.vision.camera import Camera
from pipeline.errors import InputError

Writer = Callable[..., Path]
DataDir = Callable[[str], Path]
ALL = Selection()
INTRINSICS = "width: 64\nheight: 48\nfx: 60\nfy: 60\ncx: 31.5\ncy: 23.5\ndistortion_model: none\n"
GROUNDTRUTH = "# TUM\n0 0 0 0 0 0 0 1\n1.5 1 2 3 0 0.70710678118 0 0.70710678118\n"


def opened(path: Path) -> Dataset:
    dataset = Dataset(Dataset.Options(str(path)))
    dataset.open(lambda text: None)
    return dataset


def error_of(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        opened(path)
    return str(caught.value)


@pytest.fixture
def folder(write_folder: Writer) -> Path:
    path = write_folder("data/frames", frames=2).parent
    (path / "intrinsics.yaml").write_text(INTRINSICS)
    (path / "timestamps.txt").write_text("0\n1.5\n")
    (path / "groundtruth.txt").write_text(GROUNDTRUTH)
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 20:50] = 255
    cv2.imwrite(str(path / "mask.png"), mask)
    return path


def test_a_dataset_brings_camera_times_truth_and_mask(folder: Path) -> None:
    dataset = opened(folder)
    assert dataset.camera == Camera(64, 48, 60, 60, 31.5, 23.5)
    assert [p.stamp_ns for p in dataset.frames(ALL)] == [0, 1_500_000_000]
    assert dataset.mask is not None and np.count_nonzero(dataset.mask) == 20 * 30
    assert (dataset.length(), dataset.size, dataset.live) == (2, (64, 48), False)


def test_the_truth_is_read_without_opening(folder: Path) -> None:
    truth = Dataset(Dataset.Options(str(folder))).groundtruth()
    assert truth is not None
    stamps_ns, T_world_cam = truth
    assert stamps_ns.tolist() == [0, 1_500_000_000] and stamps_ns.dtype == np.int64
    np.testing.assert_array_equal(T_world_cam[0], np.eye(4))
    # A quarter turn about y (down) turns the view to the right: z of the camera is x of the world.
    np.testing.assert_allclose(T_world_cam[1][:3, 2], [1, 0, 0], atol=1e-9)
    np.testing.assert_array_equal(T_world_cam[1][:3, 3], [1, 2, 3])


@pytest.mark.parametrize("line", ["1 2 3", "0 0 0 0 0 0 0 0", "t 0 0 0 0 0 0 1", "0 x 0 0 0 0 0 1"])
def test_a_wrong_line_of_the_truth_is_named(line: str, folder: Path) -> None:
    (folder / "groundtruth.txt").write_text(f"# TUM\n{line}\n")
    with pytest.raises(InputError) as caught:
        opened(folder).groundtruth()
    assert str(caught.value) == (
        f"{folder}/groundtruth.txt:2: expected 'timestamp tx ty tz qx qy qz qw', not '{line}'"
    )


def test_times_beside_a_video_come_before_its_own(write_video: Writer) -> None:
    path = write_video("video.mp4", frames=3)
    (path.parent / "timestamps.txt").write_text("10\n11\n15\n")
    dataset = opened(path.parent)
    assert [p.stamp_ns for p in dataset.frames(ALL)] == [10 * 10**9, 11 * 10**9, 15 * 10**9]
    assert [p.stamp_ns for p in dataset.frames(Selection(start=2))] == [15 * 10**9]


def test_too_few_times_beside_a_video_are_refused(write_video: Writer) -> None:
    path = write_video("video.avi", frames=3)
    (path.parent / "timestamps.txt").write_text("10\n11\n")
    with pytest.raises(InputError) as caught:
        list(opened(path.parent).frames(ALL))
    assert str(caught.value) == (
        f"{path.parent}/timestamps.txt has 2 times, but the recording has more pictures: "
        "one line for each is expected"
    )


def test_a_folder_without_a_recording_is_refused(tmp_path: Path) -> None:
    assert error_of(tmp_path) == f"{tmp_path} is no dataset: it has neither frames/ nor video.*"
    missing = tmp_path / "kitti"
    assert error_of(missing) == f"no such folder: {missing}"


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^path must name a dataset folder, not ''$"):
        Dataset.Options()


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "frames", "poses", "size", "shape"),
    [
        ("kitti00", 170, 170, (1241, 376), (376, 1241)),
        ("redkitchen", 400, 400, (640, 480), (480, 640, 3)),
        ("tum_fr3_office", 17, 16, (640, 480), (480, 640, 3)),
        ("sinus_a", 18, 18, (1920, 1080), (1080, 1920, 3)),
        ("euroc_static_stereo", 24, 24, (752, 480), (480, 752)),
    ],
)
def test_real_sequences_have_their_frames_times_and_truth(
    name: str,
    frames: int,
    poses: int,
    size: tuple[int, int],
    shape: tuple[int, ...],
    data_dir: DataDir,
) -> None:
    dataset = opened(data_dir(name))
    assert (dataset.length(), dataset.size) == (frames, size)
    assert dataset.camera is not None and (dataset.camera.width, dataset.camera.height) == size
    stamps = dataset.read_stamps()
    truth = dataset.groundtruth()
    assert stamps is not None and truth is not None
    assert len(truth[0]) == poses and set(truth[0].tolist()) <= set(stamps)
    np.testing.assert_allclose(np.linalg.det(truth[1]), 1, atol=1e-9)
    (picture,) = dataset.frames(Selection(start=3, stop=4))
    assert picture.image is not None and picture.image.shape == shape
    assert picture.stamp_ns == stamps[3]
    if name == "sinus_a":
        assert dataset.mask is not None and dataset.mask.shape == shape[:2]
