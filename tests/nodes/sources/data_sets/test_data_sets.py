"""TUM RGB-D, KITTI odometry and EuRoC: layouts as they are published."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from layouts import FIRST_NS, SENSOR, write_euroc, write_kitti, write_tum
from recordings import picture

from nodes.sources import SOURCES
from nodes.sources.base import FrameSource, Selection
from nodes.sources.data_sets.truth import at_images
from nodes.vision.camera import Camera
from pipeline.errors import InputError

ALL = Selection()
WRITERS = {"tum": write_tum, "kitti": write_kitti, "euroc": write_euroc}


def opened(name: str, path: Path, **options: Any) -> FrameSource:
    source: FrameSource = SOURCES.create(name, {"path": str(path), **options})
    source.open(lambda text: None)
    return source


def error_of(name: str, path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        opened(name, path, **options)
    return str(caught.value)


@pytest.fixture(params=WRITERS)
def laid_out(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    return request.param, WRITERS[request.param](tmp_path / "set")


def test_the_listed_images_come_in_order(laid_out: tuple[str, Path]) -> None:
    source = opened(*laid_out)
    pictures = list(source.frames(ALL))
    assert (source.length(), source.size, source.live) == (5, (64, 48), False)
    assert [p.index for p in pictures if p] == [0, 1, 2, 3, 4]
    for i, found in enumerate(pictures):
        assert found is not None
        np.testing.assert_array_equal(found.image, picture(i)[..., ::-1])


def test_the_truth_is_known_without_opening_and_for_each_image(
    laid_out: tuple[str, Path],
) -> None:
    name, path = laid_out
    truth = SOURCES.create(name, {"path": str(path)}).groundtruth()
    stamps = [p.stamp_ns for p in opened(name, path).frames(ALL) if p]
    assert truth is not None and truth[0].tolist() == stamps and truth[1].shape == (5, 4, 4)


def test_an_input_that_is_gone_has_neither_camera_nor_truth(laid_out: tuple[str, Path]) -> None:
    name, path = laid_out
    source = SOURCES.create(name, {"path": str(path / "gone")})
    assert (source.camera, source.groundtruth()) == (None, None)


def test_a_missing_image_is_a_frame_with_a_reason(laid_out: tuple[str, Path]) -> None:
    name, path = laid_out
    image = sorted(path.rglob("*.png"))[2]
    image.unlink()
    pictures = [p for p in opened(name, path).frames(ALL) if p]
    assert [p.reason for p in pictures] == [
        "", "", f"{image.name} cannot be read: No such file or directory", "", "",
    ]  # fmt: skip
    assert pictures[2].image is None


def test_without_any_image_the_list_is_refused(laid_out: tuple[str, Path]) -> None:
    name, path = laid_out
    images = sorted(path.rglob("*.png"))
    for image in images:
        image.unlink()
    message = error_of(name, path)
    if name == "kitti":
        assert message.startswith(f"{path}/image_0 holds no image (0 other files")
        return
    assert message == (f"{path} lists 5 images, but none is there: there is no {images[0]}")


def test_a_calibration_of_the_users_own_comes_first(laid_out: tuple[str, Path]) -> None:
    name, path = laid_out
    folder = path / "mav0" if name == "euroc" else path
    (folder / "camera.yaml").write_text(
        "width: 64\nheight: 48\nfx: 9\nfy: 9\ncx: 1\ncy: 2\ndistortion_model: none\n"
    )
    assert opened(name, path).camera == Camera(64, 48, 9, 9, 1, 2)


def test_tum_times_are_exact_and_the_truth_is_interpolated(tmp_path: Path) -> None:
    source = opened("tum", write_tum(tmp_path / "s"))
    truth = source.groundtruth()
    assert truth is not None
    assert truth[0][:2].tolist() == [1305031102175304000, 1305031102208304000]
    np.testing.assert_allclose(truth[1][:2, 0, 3], [0.3 * 0.175304, 0.3 * 0.208304], atol=1e-6)
    np.testing.assert_allclose(truth[1][:, :3, :3], np.broadcast_to(np.eye(3), (5, 3, 3)))


def test_tum_truth_is_not_invented_across_a_gap(tmp_path: Path) -> None:
    folder = write_tum(tmp_path / "s")
    lines = (folder / "groundtruth.txt").read_text().splitlines()
    (folder / "groundtruth.txt").write_text("\n".join([*lines[:3], *lines[17:]]))
    truth = opened("tum", folder).groundtruth()
    assert truth is not None and len(truth[0]) == 1


@pytest.mark.parametrize("angles", [(3.10, 3.18), (-0.05, 0.05), (6.25, 6.30)])
def test_between_two_poses_the_truth_turns_the_short_way(angles: tuple[float, float]) -> None:
    def turned(angle: float) -> np.ndarray:
        c, s = np.cos(angle), np.sin(angle)
        return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])

    measured = np.array([0, 50_000_000]), np.stack([turned(angle) for angle in angles])
    stamps, poses = at_images(measured, [25_000_000])
    assert stamps.tolist() == [25_000_000]
    np.testing.assert_allclose(poses[0], turned(sum(angles) / 2), atol=1e-9)


@pytest.mark.parametrize(
    ("name", "camera"),
    [
        ("freiburg1", Camera(640, 480, 517.3, 516.5, 318.6, 255.3, (0.2624, -0.9531, -0.0054, 0.0026, 1.1633))),
        ("freiburg3", Camera(640, 480, 535.4, 539.2, 320.1, 247.6)),
    ],
)  # fmt: skip
def test_the_published_cameras_of_tum_are_those_of_its_page(name: str, camera: Camera) -> None:
    assert SOURCES.create("tum", {"path": "x", "camera": name}).published_camera() == camera


def test_a_tum_sequence_is_uncalibrated_unless_its_camera_is_named(tmp_path: Path) -> None:
    folder = write_tum(tmp_path / "rgbd_dataset_freiburg2_desk")
    warnings: list[str] = []
    source = SOURCES.create("tum", {"path": str(folder)})
    source.open(warnings.append)
    assert source.camera is None
    assert warnings == [
        f"{folder}: its name says freiburg2; take that camera's published calibration with "
        "--set capture.params.options.camera=freiburg2"
    ]
    camera = SOURCES.create("tum", {"path": str(folder), "camera": "freiburg2"}).camera
    assert camera == Camera(
        640, 480, 520.9, 521.0, 325.1, 249.7, (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x rgb/a.png", "expected 'stamp path', not 'x rgb/a.png'"),
        ("1305031102.9", "expected 'stamp path', not '1305031102.9'"),
        ("1305031102.1 rgb/a.png", "1305031102.1 is not later than the line before it"),
    ],
)
def test_a_malformed_line_of_rgb_txt_is_named(line: str, message: str, tmp_path: Path) -> None:
    folder = write_tum(tmp_path / "s")
    with (folder / "rgb.txt").open("a") as file:
        file.write(line + "\n")
    assert error_of("tum", folder) == f"{folder}/rgb.txt:8: {message}"


def test_a_folder_without_its_list_is_refused(tmp_path: Path) -> None:
    assert error_of("tum", tmp_path) == f"no such file: {tmp_path}/rgb.txt"
    assert error_of("tum", tmp_path / "x") == f"no such folder: {tmp_path}/x"
    assert error_of("euroc", tmp_path) == f"no such folder: {tmp_path}/cam0"
    assert error_of("kitti", tmp_path) == f"no such file: {tmp_path}/times.txt"


def test_the_right_camera_of_kitti_is_shifted_by_the_baseline(tmp_path: Path) -> None:
    folder = write_kitti(tmp_path)
    left, right = (opened("kitti", folder, camera_folder=name) for name in ("image_0", "image_1"))
    assert left.camera == right.camera == Camera(64, 48, 60, 60, 31.5, 23.5)
    truths = [source.groundtruth() for source in (left, right)]
    assert truths[0] is not None and truths[1] is not None
    # Half a metre along x of the camera, which a quarter turn about y makes -z of the world.
    shift = truths[1][1][:2, :3, 3] - truths[0][1][:2, :3, 3]
    np.testing.assert_allclose(shift, [[0.5, 0, 0], [0, 0, -0.5]], atol=1e-9)
    assert [p.stamp_ns for p in right.frames(Selection(stop=2)) if p] == [0, 100_000_000]


def test_the_colour_camera_of_kitti_is_taken_where_it_is_the_only_one(tmp_path: Path) -> None:
    folder = write_kitti(tmp_path)
    (folder / "image_0").rename(folder / "image_2")
    with (folder / "calib.txt").open("a") as file:
        file.write("P2: 60 0 31.5 -6 0 60 23.5 0 0 0 1 0\n")
    source = opened("kitti", folder)
    truth = source.groundtruth()
    assert truth is not None
    np.testing.assert_allclose(truth[1][0, :3, 3], [0.1, 0, 0], atol=1e-9)


def test_the_truth_of_each_kitti_camera_sees_what_its_projection_does(tmp_path: Path) -> None:
    """The development kit: a point of camera 0's world is at P X in every camera."""
    folder = write_kitti(tmp_path)
    projections = {
        0: [718.856, 0, 607.1928, 0.5, 0, 718.856, 185.2157, 0.25, 0, 0, 1, 0.001],
        1: [718.856, 0, 607.1928, -386.1448, 0, 718.856, 185.2157, 1.5, 0, 0, 1, 0.004],
    }
    (folder / "calib.txt").write_text(
        "".join(f"P{i}: {' '.join(map(str, row))}\n" for i, row in projections.items())
    )
    source = opened("kitti", folder, camera_folder="image_1")
    truth, camera = source.groundtruth(), source.camera
    assert truth is not None and camera is not None
    (P0, P1) = (np.array(row).reshape(3, 4) for row in projections.values())
    # The first pose is the identity: camera 0 sees X at K (X + t0), so X + t0 is its own frame.
    points = np.random.default_rng(0).normal((0, 0, 8), 1, (9, 3))
    T_1_world = np.linalg.inv(truth[1][0])
    offset = np.linalg.solve(P0[:, :3], P0[:, 3])
    seen = camera.project((points + offset) @ T_1_world[:3, :3].T + T_1_world[:3, 3])
    expected = points @ P1[:, :3].T + P1[:, 3]
    np.testing.assert_allclose(seen, expected[:, :2] / expected[:, 2:], atol=1e-6)


def test_what_does_not_fit_in_kitti_is_named(tmp_path: Path) -> None:
    folder = write_kitti(tmp_path)
    assert error_of("kitti", folder, camera_folder="image_3") == (
        f"no such folder: {folder}/image_3. Did you mean '{folder}/image_1'?"
    )
    (folder / "times.txt").write_text("0\n0.1\n0.2\n")
    assert error_of("kitti", folder) == (
        f"{folder}/times.txt has 3 times, but {folder}/image_0 holds 5 images: "
        "000003.png has no time"
    )
    (folder / "times.txt").write_text("0\n0.1\n0.2\n0.3\n0.4\n0.5\n")
    poses = tmp_path / "poses" / "00.txt"
    with pytest.raises(InputError) as caught:
        opened("kitti", folder).groundtruth()
    assert str(caught.value) == (
        f"{poses} has 5 poses, but {folder}/times.txt has 6 times: one for each is expected"
    )
    poses.write_text("1 0 0 0 0 1 0 0 0 0 2 0\n")
    with pytest.raises(InputError) as caught:
        opened("kitti", folder).groundtruth()
    assert str(caught.value) == f"{poses}:1: expected the 12 numbers of a 3x4 pose"
    (folder / "calib.txt").write_text("P1: 1 2 3\n")
    with pytest.raises(InputError) as caught:
        _ = opened("kitti", folder).camera
    assert str(caught.value) == f"{folder}/calib.txt has no line P0:"


def test_euroc_has_its_camera_its_times_and_the_truth_of_the_camera(tmp_path: Path) -> None:
    root = write_euroc(tmp_path)
    for path in (root, root / "mav0"):
        source = opened("euroc", path)
        assert source.camera == Camera(
            64, 48, 60.5, 61.5, 31.5, 23.5, (-0.28, 0.07, 0.0002, 1.8e-05)
        )
        truth = source.groundtruth()
        assert truth is not None and truth[0][1] == FIRST_NS + 50_000_000
        T_body_cam = [[0, -1, 0, 0.1], [1, 0, 0, 0.2], [0, 0, 1, 0.3], [0, 0, 0, 1]]
        np.testing.assert_allclose(truth[1][0], T_body_cam, atol=1e-12)
        np.testing.assert_allclose(truth[1][2][:3, 3], [2.1, 0.2, 0.3], atol=1e-12)


def test_the_quaternion_of_euroc_begins_with_its_real_part(tmp_path: Path) -> None:
    root = write_euroc(tmp_path)
    states = root / "mav0" / "state_groundtruth_estimate0" / "data.csv"
    # 0.28 rad about the axis (0.6, 0, 0.8) of the body
    states.write_text(
        f"{FIRST_NS}, 1, 2, 3, {np.cos(0.14)}, {0.6 * np.sin(0.14)}, 0, {0.8 * np.sin(0.14)}\n"
    )
    truth = opened("euroc", root).groundtruth()
    assert truth is not None
    T_world_body = np.eye(4)
    T_world_body[:3, :3] = cv2.Rodrigues(0.28 * np.array([0.6, 0.0, 0.8]))[0]
    T_world_body[:3, 3] = [1, 2, 3]
    T_body_cam = np.array([[0, -1, 0, 0.1], [1, 0, 0, 0.2], [0, 0, 1, 0.3], [0, 0, 0, 1]])
    np.testing.assert_allclose(truth[1][0], T_world_body @ T_body_cam, atol=1e-9)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "model: radial-tangential",
            "model: fov",
            "distortion_model must be none, radtan or equidistant, not 'fov'",
        ),
        ("resolution: [64, 48]", "resolution: 64", "resolution must be a list of numbers, not 64"),
        ("[60.5,", "[x,", "intrinsics must be a number, not 'x'"),
    ],
)
def test_a_wrong_sensor_yaml_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = write_euroc(tmp_path) / "mav0" / "cam0" / "sensor.yaml"
    path.write_text(SENSOR.replace(old, new))
    with pytest.raises(InputError) as caught:
        _ = opened("euroc", tmp_path).camera
    assert str(caught.value) == f"{path}: {message}"


def test_a_fisheye_in_the_layout_of_euroc_is_one(tmp_path: Path) -> None:
    path = write_euroc(tmp_path) / "mav0" / "cam0" / "sensor.yaml"
    path.write_text(SENSOR.replace("radial-tangential", "equidistant"))
    camera = opened("euroc", tmp_path).camera
    assert camera is not None and camera.model == "fisheye"


def test_the_truth_of_the_body_needs_the_place_of_the_camera(tmp_path: Path) -> None:
    path = write_euroc(tmp_path) / "mav0" / "cam0" / "sensor.yaml"
    path.write_text(SENSOR.replace("0.2,", ""))
    with pytest.raises(InputError) as caught:
        SOURCES.create("euroc", {"path": str(tmp_path)}).groundtruth()
    assert str(caught.value) == (
        f"{path}: T_BS must have 16 numbers under data: the truth is that of the body"
    )


def test_a_malformed_line_of_data_csv_is_named(tmp_path: Path) -> None:
    path = write_euroc(tmp_path) / "mav0" / "cam0" / "data.csv"
    path.write_text("#timestamp [ns],filename\n1.5,a.png\n")
    assert error_of("euroc", tmp_path) == (f"{path}:2: expected 'stamp_ns,file', not '1.5 a.png'")
    states = tmp_path / "mav0" / "state_groundtruth_estimate0" / "data.csv"
    states.write_text("1, 2, 3\n")
    with pytest.raises(InputError) as caught:
        SOURCES.create("euroc", {"path": str(tmp_path)}).groundtruth()
    assert str(caught.value) == (f"{states}:1: expected 'stamp_ns, p x y z, q w x y z, ...'")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tum", {}, "path must name a folder with rgb.txt, not ''"),
        (
            "tum",
            {"path": "a", "camera": "kinect"},
            "camera must be one of freiburg1, freiburg2, freiburg3, or '', not 'kinect'",
        ),
        ("kitti", {}, "path must name a folder such as sequences/00, not ''"),
        (
            "kitti",
            {"path": "a", "camera_folder": "x"},
            "camera_folder must be one of image_0, image_1, image_2, image_3, or '', not 'x'",
        ),
        ("euroc", {}, "path must name a folder with mav0/, not ''"),
        (
            "euroc",
            {"path": "a", "camera": "../x"},
            "camera must name a folder of mav0/, not '../x'",
        ),
    ],
)
def test_wrong_options_of_a_data_set_are_refused(
    name: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError) as caught:
        SOURCES.create(name, options)
    assert str(caught.value) == message
