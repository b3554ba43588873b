"""The feature evaluation: sets in both layouts, detectors by name, tables, and one-line errors."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from nodes.vision.feature_evaluation import transform

Load = Callable[[str], ModuleType]
Run = Callable[..., tuple[int, str, str]]

WIDTH, HEIGHT = 160, 120
TURN = np.array([[0.98, -0.17, 12.0], [0.17, 0.98, -10.0], [1e-4, 0.0, 1.0]])
SHIFT = np.array([[1.0, 0, 15], [0, 1, -6], [0, 0, 1]])


def picture(seed: int = 0) -> np.ndarray:
    """Return blocks of many sizes with corners everywhere, (H, W, 3)."""
    rng = np.random.default_rng(seed)
    image = np.full((HEIGHT, WIDTH), 128, np.uint8)
    for _ in range(150):
        x, y, w, h = rng.integers((0, 0, 5, 5), (WIDTH, HEIGHT, 30, 30)).tolist()
        cv2.rectangle(image, (x, y), (x + w, y + h), int(rng.integers(0, 256)), -1)
    return np.dstack([cv2.GaussianBlur(image, (0, 0), 0.8)] * 3)


def write_set(folder: Path, name: Callable[[int], str]) -> Path:
    """Write three pictures, the second and third warped from the first, with their homographies."""
    image = picture()
    for number, H in enumerate((np.eye(3), TURN, SHIFT), 1):
        path = folder / name(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(
            str(path), cv2.warpPerspective(image, H, (WIDTH, HEIGHT), borderValue=(128, 128, 128))
        )
        if number > 1:
            np.savetxt(folder / f"H_1_{number}", -2 * H)  # any scale means the same
    return folder


def ours(folder: Path) -> Path:
    return write_set(folder, lambda number: f"frames/{number - 1:06d}.png")


def hpatches(folder: Path) -> Path:
    return write_set(folder, lambda number: f"{number}.ppm")


@pytest.fixture
def run(load: Load, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the tool: exit code, output, and the last line of errors."""
    tool = load("evaluate_features")

    def call(data: Path, *words: object) -> tuple[int, str, str]:
        arguments = ["--data", str(data), "--shapes", "0", *map(str, words)]
        if "--detectors" not in words:
            arguments += ["--detectors", "orb:patchSize=15,edgeThreshold=15"]
        code = tool.main(arguments)
        told = capsys.readouterr()
        return code, told.out, told.err.splitlines()[-1]

    return call


def test_the_two_layouts_of_one_set_give_the_same_figures(run: Run, tmp_path: Path) -> None:
    ours(tmp_path / "a")
    hpatches(tmp_path / "b")
    code, text, _ = run(tmp_path, "--out", tmp_path / "all.json")
    assert code == 0
    (one,) = json.loads((tmp_path / "all.json").read_text())["detectors"].values()
    assert one["sets"]["a"] == one["sets"]["b"]
    assert one["sets"]["a"]["pairs"] == 2
    assert one["totals"]["repeatability"] == pytest.approx(one["sets"]["a"]["repeatability"])
    assert one["totals"]["repeatability"] > 0.6
    assert one["totals"]["mma_3px"] > 0.6
    assert one["totals"]["homography_3px"] == 1
    assert one["totals"]["vga_ms"] > 0
    assert "shapes_ap" not in one["totals"]
    assert text.splitlines()[0].split() == ["a", "b"]
    assert "2/2" in text.splitlines()[1]


def test_a_run_repeats_to_the_bit_but_for_its_times(run: Run, tmp_path: Path) -> None:
    ours(tmp_path / "data" / "a")
    found = []
    for name in ("1.json", "2.json"):
        run(tmp_path / "data", "--out", tmp_path / name)
        (one,) = json.loads((tmp_path / name).read_text())["detectors"].values()
        found.append({k: v for k, v in one["totals"].items() if not k.startswith("vga")})
    assert found[0] == found[1]


def test_hpatches_is_grouped_by_viewpoint_and_illumination(run: Run, tmp_path: Path) -> None:
    for name in ("i_one", "v_one", "v_two"):
        hpatches(tmp_path / "hpatches" / name)
    ours(tmp_path / "mine")
    code, text, _ = run(tmp_path, "--sets", "mine", "hpatches", "--out", tmp_path / "all.json")
    assert code == 0
    assert text.splitlines()[0].split() == ["mine", "illumination", "viewpoint"]
    assert "4/4" in text.splitlines()[1]
    (one,) = json.loads((tmp_path / "all.json").read_text())["detectors"].values()
    assert list(one["sets"]) == ["mine", "hpatches/i_one", "hpatches/v_one", "hpatches/v_two"]
    assert one["groups"]["viewpoint"]["pairs"] == 4


def test_a_set_may_itself_be_the_data_and_every_detector_has_a_row(
    run: Run, tmp_path: Path
) -> None:
    specs = ["sift", "orb:nfeatures=50", "orb:nfeatures=90"]
    out = tmp_path / "table.md"
    code, text, _ = run(ours(tmp_path / "mine"), "--out", out, "--detectors", *specs)
    assert code == 0
    assert [line.split()[0] for line in text.splitlines()[1:4]] == specs
    page = out.read_text()
    assert "| sift | 2/2 " in page
    assert page.startswith("`python tools/evaluate_features.py --data ")


def test_detectors_keep_no_more_keypoints_than_asked(load: Load) -> None:
    detectors = load("evaluation.detectors")
    found = detectors.create_all(["sift", "sift:nfeatures=500", "sift:nfeatures=20"], 60)
    assert [len(one.detect(picture(1)).scores) for one in found] == [60, 60, 20]
    options = detectors.create("sift:root_sift=true,sigma=2", 7).options
    assert (options.nfeatures, options.root_sift, options.sigma) == (7, True, 2.0)


def test_files_in_labels_lose_their_folders_unless_that_makes_them_equal(load: Load) -> None:
    detectors = load("evaluation.detectors")
    made: list[str] = []
    detectors.create = lambda spec, limit: made.append(spec)
    specs = [
        "sift",
        "superpoint:weights=/a/x.pth,device=cpu",
        "aliked:weights=/a/y",
        "aliked:weights=/b/y",
    ]
    labels = [one.label for one in detectors.create_all(specs, 5)]
    assert labels == ["sift", "superpoint:weights=x.pth,device=cpu", specs[2], specs[3]]
    assert made == specs


def test_a_resized_set_has_the_homographies_of_its_resized_images(
    load: Load, tmp_path: Path
) -> None:
    sets = load("evaluation.sets")
    (one,) = sets.find_sets(hpatches(tmp_path / "v_a"), [])
    (_, image1, _), (pair, _) = one.load((400, 200))
    assert image1.shape == (200, 400, 3)
    assert pair.size0 == pair.size1 == (400, 200)

    def resized(points: np.ndarray) -> np.ndarray:  # from edge to edge; an edge is at -0.5
        return (points + 0.5) * [400 / WIDTH, 200 / HEIGHT] - 0.5

    points = np.random.default_rng(0).uniform(0, 100, (20, 2))
    expected = resized(transform(TURN, points))
    assert np.abs(pair.carried(resized(points)) - expected).max() < 1e-6


def test_resizing_is_an_option(run: Run, tmp_path: Path) -> None:
    ours(tmp_path / "a")
    code, text, _ = run(tmp_path, "--resize", "320x240")
    assert code == 0
    assert "stretched to 320x240" in text
    assert "2/2" in text


def test_the_drawings_repeat_and_a_detector_of_true_corners_is_perfect(load: Load) -> None:
    drawings = load("evaluation.drawings")
    some, again = drawings.make_drawings(4), drawings.make_drawings(4)
    assert all((a.image == b.image).all() for a, b in zip(some, again, strict=True))
    assert some[0].image.shape == (240, 320)
    assert sum(len(one.corners) for one in some) > 0

    class Knows:
        def detect(self, image: np.ndarray) -> object:
            corners = next(d.corners for d in some if d.image is image)
            return type("Found", (), {"keypoints": corners, "scores": np.ones(len(corners))})

    assert drawings.shapes_precision(Knows(), some) == pytest.approx(1)
    blank = load("evaluation.detectors").create_all(["orb"], 50)[0]
    assert 0 <= drawings.shapes_precision(blank, some) < 1


def test_tables_are_as_wide_as_fits(load: Load) -> None:
    tables = load("evaluation.tables")
    figures = {"pairs": 5, "homography_3px": 0.76, "mma_3px": 0.5, "repeatability": 0.25}
    results = {"sift": {"groups": {f"set{i}": figures for i in range(7)}}}
    found = tables.group_tables(results, width=60)
    assert [len(table[0]) - 1 for table in found] == [3, 3, 1]
    assert found[0][1] == ["sift", *["3.8/5 0.50 0.25"] * 3]
    assert max(map(len, tables.as_text(found[0]).splitlines())) <= 60


def test_infinite_errors_become_null_in_json(load: Load, tmp_path: Path) -> None:
    results = {"sift": {"totals": {"corner_errors_px": (1.5, float("inf"))}}}
    load("evaluation.tables").write(tmp_path / "a.json", results, ["note"], "command")
    data = json.loads((tmp_path / "a.json").read_text())
    assert data["detectors"]["sift"]["totals"]["corner_errors_px"] == [1.5, None]


def spoil_number(folder: Path) -> None:
    (folder / "H_1_2").write_text("1 0 0 0 1 x 0 0 1")


def spoil_shape(folder: Path) -> None:
    (folder / "H_1_2").write_text("1 0 0 0 1 0")


def spoil_rank(folder: Path) -> None:
    (folder / "H_1_2").write_text("1 0 0 1 0 0 0 0 1")


def spoil_count(folder: Path) -> None:
    (folder / "frames" / "000002.png").unlink()


def spoil_image(folder: Path) -> None:
    (folder / "frames" / "000001.png").write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_number, "{set}/H_1_2 is no homography: nine numbers in three lines"),
        (spoil_shape, "{set}/H_1_2 is no homography: it needs nine finite numbers, not 6"),
        (spoil_rank, "{set}/H_1_2 is singular: no homography between two images"),
        (
            spoil_count,
            "{set} has 2 images but a homography H_1_3: add the missing images, or remove the file",
        ),
        (spoil_image, "{set}/frames/000001.png is empty (0 bytes)"),
    ],
)
def test_a_damaged_set_is_one_line_with_the_file(
    run: Run, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    folder = ours(tmp_path / "a")
    spoil(folder)
    code, text, error = run(tmp_path)
    assert (code, text) == (3, "")
    assert error == message.format(set=folder)


def test_a_missing_set_is_named_with_those_that_are_there(run: Run, tmp_path: Path) -> None:
    ours(tmp_path / "boat")
    (tmp_path / "empty").mkdir()
    assert run(tmp_path, "--sets", "boad") == (
        3,
        "",
        f"{tmp_path} has no folder 'boad'. Did you mean 'boat'? It has: boat",
    )
    need = "it needs images and files H_1_2, H_1_3, ..., or sub-folders that have them"
    assert run(tmp_path, "--sets", "empty")[::2] == (
        3,
        f"{tmp_path / 'empty'} is no homography set: {need}",
    )
    code, _, error = run(tmp_path / "none")
    assert code == 3
    assert error.startswith(f"no such folder: {tmp_path / 'none'}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--max-keypoints", "0"], "--max-keypoints must be at least 1, not 0"),
        (["--shapes", "-1"], "--shapes must be at least 0, not -1"),
        (["--threads", "0"], "--threads must be at least 1, not 0"),
        (
            ["--resize", "640"],
            "--resize must be WIDTHxHEIGHT in pixels, such as 640x480, not 640",
        ),
        (["--out", "a.csv"], "--out a.csv: the name must end in .json or .md"),
        (
            ["--detectors", "sitf"],
            "unknown detector 'sitf'. Did you mean 'sift'? Allowed: ",
        ),
        (
            ["--detectors", "sift", "sift"],
            "--detectors: sift comes twice",
        ),
        (
            ["--detectors", "sift:sigma"],
            "--detectors sift:sigma: write options as NAME:key=value,key=value",
        ),
        (
            ["--detectors", "sift:sigm=2"],
            "--detectors sift:sigm=2: unknown option 'sigm'. Did you mean 'sigma'? Allowed: ",
        ),
        (
            ["--detectors", "sift:nfeatures=2.5"],
            "--detectors sift:nfeatures=2.5: nfeatures must be a whole number, not '2.5'",
        ),
        (
            ["--detectors", "sift:sigma=20"],
            "--detectors sift:sigma=20: sigma must be from 0.5 to 10 pixels, not 20.0",
        ),
        (
            ["--detectors", "superpoint:device=gpu"],
            "--detectors superpoint:device=gpu: device is 'gpu'. Did you mean 'cpu'? Allowed: auto, cpu, cuda",
        ),
    ],
)
def test_a_wrong_option_is_one_line_with_the_cure(
    run: Run, tmp_path: Path, words: list[str], message: str
) -> None:
    ours(tmp_path / "a")
    code, text, error = run(tmp_path, *words)
    assert (code, text) == (2, "")
    assert error.startswith(message)


def test_a_folder_that_is_missing_for_the_output_is_told_before_the_work(
    run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "none" / "a.json"
    message = f"--out {out}: there is no folder {out.parent}; make it first"
    assert run(ours(tmp_path / "a"), "--out", out) == (2, "", message)


def test_missing_weights_end_with_the_command_that_fetches_them(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("POSESTREAM_WEIGHTS", "")
    code, _, error = run(ours(tmp_path / "data" / "a"), "--detectors", "superpoint")
    assert code == 4
    assert "posestream weights fetch superpoint --accept-licence" in error


def test_weights_beside_the_data_are_found_unless_the_user_says_where(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = load("evaluation.detectors").find_weights_beside
    monkeypatch.setenv("POSESTREAM_WEIGHTS", "")
    find(tmp_path / "data")
    assert load("os").environ["POSESTREAM_WEIGHTS"] == ""
    (tmp_path / "weights").mkdir()
    find(tmp_path / "data")
    assert load("os").environ["POSESTREAM_WEIGHTS"] == str(tmp_path / "weights")
    monkeypatch.setenv("POSESTREAM_WEIGHTS", "mine")
    find(tmp_path / "data")
    assert load("os").environ["POSESTREAM_WEIGHTS"] == "mine"


@pytest.mark.data
def test_sift_and_orb_on_a_shared_set_show_what_was_measured(
    run: Run, data_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = data_dir("hom_leuven")
    code, _, _ = run(folder, "--out", tmp_path / "a.json", "--detectors", "orb", "sift")
    assert code == 0
    found = json.loads((tmp_path / "a.json").read_text())["detectors"]
    assert found["sift"]["totals"]["homography_3px"] == 1
    assert found["sift"]["totals"]["repeatability"] == pytest.approx(0.57, abs=0.03)
    assert found["orb"]["totals"]["mma_3px"] == pytest.approx(0.76, abs=0.03)
