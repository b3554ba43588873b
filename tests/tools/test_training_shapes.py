"""The synthetic shapes: exact labels where corners are seen, none elsewhere, the same for a seed."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

Load = Callable[[str], ModuleType]

CORNERED = ["lines", "polygon", "polygons", "checkerboard", "stripes", "cube", "star"]
SIZE = (120, 160)


@pytest.fixture
def shapes(load: Load) -> ModuleType:
    """Return the module that draws."""
    return load("training.shapes")


@pytest.fixture
def canvas(load: Load) -> Any:
    """Return an empty canvas of grey 50."""
    return load("training.shape_canvas").Canvas(np.full(SIZE, 50, dtype=np.uint8))


def turned(angle_deg: float, points: np.ndarray) -> np.ndarray:
    """Return points (N, 2) turned about the middle of a picture, off the grid of pixels."""
    angle = np.deg2rad(angle_deg)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return points @ rotation + (80.3, 60.4)


def coverage(canvas: Any, grey: float) -> np.ndarray:
    """Return the (H, W) share of each pixel that is `grey` on the ground of grey 50."""
    return (canvas.reduced().astype(np.float64) - 50) / (grey - 50)


def nearest(points: np.ndarray, point: tuple[float, float]) -> float:
    return float(np.hypot(*(points - point).T).min()) if len(points) else np.inf


@pytest.mark.parametrize("kind", [*CORNERED, "ellipses", "noise"])
def test_the_same_seed_draws_the_same_bytes(shapes: ModuleType, kind: str) -> None:
    one, two = (shapes.draw(np.random.default_rng(5), SIZE, kind) for _ in range(2))
    other = shapes.draw(np.random.default_rng(6), SIZE, kind)
    assert one.image.tobytes() == two.image.tobytes()
    assert one.corners.tobytes() == two.corners.tobytes()
    assert one.image.tobytes() != other.image.tobytes()


@pytest.mark.parametrize("size", [(120, 160), (64, 64), (97, 33)])
@pytest.mark.parametrize("kind", [*CORNERED, "ellipses", "noise"])
def test_labels_lie_inside_and_two_pixels_apart(
    shapes: ModuleType, kind: str, size: tuple[int, int]
) -> None:
    for seed in range(12):
        drawing = shapes.draw(np.random.default_rng(seed), size, kind)
        corners = drawing.corners
        assert drawing.image.shape == size and drawing.image.dtype == np.uint8
        assert corners.shape == (len(corners), 2) and corners.dtype == np.float64
        assert (corners >= 0).all() and (corners <= (size[1] - 1, size[0] - 1)).all()
        gaps = np.hypot(*(corners[:, None] - corners[None]).transpose(2, 0, 1))
        assert (gaps + 9 * np.eye(len(corners)) > shapes.MIN_DISTANCE_PX).all()


def test_a_large_picture_has_labels(shapes: ModuleType) -> None:
    drawing = shapes.draw(np.random.default_rng(0), (480, 640), "polygons")
    assert drawing.image.shape == (480, 640)
    assert len(drawing.corners) > 0


def test_every_kind_comes_at_random(shapes: ModuleType) -> None:
    rng = np.random.default_rng(0)
    assert {shapes.draw(rng, (64, 64)).kind for _ in range(120)} == set(shapes.KINDS)


def test_an_unknown_kind_is_refused_by_name(shapes: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"kind must be one of lines, .*noise, not 'circle'"):
        shapes.draw(np.random.default_rng(0), SIZE, "circle")


@pytest.mark.parametrize("kind", ["ellipses", "noise"])
def test_ellipses_and_noise_have_no_corners(shapes: ModuleType, kind: str) -> None:
    for seed in range(20):
        drawing = shapes.draw(np.random.default_rng(seed), SIZE, kind)
        assert len(drawing.corners) == 0
        assert drawing.image.std() > 1


@pytest.mark.parametrize("kind", CORNERED)
def test_every_other_kind_has_corners_nearly_always(shapes: ModuleType, kind: str) -> None:
    drawings = [shapes.draw(np.random.default_rng(seed), SIZE, kind) for seed in range(30)]
    assert sum(len(drawing.corners) == 0 for drawing in drawings) <= 3


@pytest.mark.parametrize("angle_deg", [0, 17, 45, 77, 90])
def test_a_filled_polygon_covers_what_its_corners_enclose(canvas: Any, angle_deg: float) -> None:
    triangle = turned(angle_deg, np.array([[-20.0, -12.0], [25.0, -10.0], [-3.0, 22.0]]))
    canvas.fill(triangle, 200)
    share = coverage(canvas, 200)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    centroid = np.array([(share * x).sum(), (share * y).sum()]) / share.sum()
    edges = np.roll(triangle, -1, axis=0) - triangle
    area = abs(edges[0, 0] * edges[1, 1] - edges[0, 1] * edges[1, 0]) / 2
    assert np.abs(centroid - triangle.mean(axis=0)).max() < 0.1
    assert abs(share.sum() - area) < 0.08 * np.hypot(*edges.T).sum()  # 0.08 px all around
    assert np.allclose(canvas.corners, triangle)


@pytest.mark.parametrize("angle_deg", [0, 17, 45, 77, 90])
def test_a_line_ends_at_its_labels_and_has_its_width(canvas: Any, angle_deg: float) -> None:
    ends = turned(angle_deg, np.array([[-30.0, 0.0], [30.0, 0.0]]))
    canvas.stroke(ends, 2.0, 200)
    share = coverage(canvas, 200)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    along = (np.stack([x, y], axis=-1) - ends.mean(axis=0)) @ (ends[1] - ends[0]) / 60
    assert abs((share * along).sum() / share.sum()) < 0.15
    assert abs(np.sqrt(12 * (share * along**2).sum() / share.sum()) - 60) < 0.3
    assert abs(share.sum() / 60 - 2.0) < 0.1


def test_a_board_s_labels_are_where_its_fields_meet(load: Load, canvas: Any) -> None:
    """OpenCV's saddle-point refinement, started from the labels, stays within a tenth of a pixel."""
    forms = load("training.shape_forms")
    greys = np.where(np.add.outer(np.arange(6), np.arange(7)) % 2 == 0, 40, 210)
    rng = np.random.default_rng(3)
    H = forms.perspective(rng, np.array([80.0, 60.0]), greys.shape, 16.0)
    canvas.grid(greys.astype(np.uint8), H)
    lattice = np.stack(np.meshgrid(np.arange(1.0, 7.0), np.arange(1.0, 6.0)), axis=-1)
    labels = cv2.perspectiveTransform(lattice.reshape(1, -1, 2), H)[0]
    labels = labels[((labels > 8) & (labels < np.array(SIZE[::-1]) - 9)).all(axis=1)]
    found = labels.astype(np.float32)[:, None].copy()
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-3)
    cv2.cornerSubPix(canvas.reduced(), found, (4, 4), (-1, -1), stop)
    errors = np.hypot(*(found[:, 0] - labels).T)
    assert len(errors) >= 15
    assert np.median(errors) < 0.1 and errors.max() < 0.3


def test_a_board_labels_all_its_crossings(load: Load, canvas: Any) -> None:
    kinds, shapes = load("training.shape_kinds"), load("training.shapes")
    kinds.checkerboard(np.random.default_rng(2), canvas)
    image = canvas.reduced()
    labels = shapes.labels(canvas.corners, image.astype(np.float32), 40.0)
    strong = cv2.goodFeaturesToTrack(image, 500, 0.3, 6, blockSize=5)[:, 0]
    strong = strong[((strong > 5) & (strong < np.array(SIZE[::-1]) - 6)).all(axis=1)]
    assert len(strong) >= 8
    assert (
        max(nearest(labels, tuple(point)) for point in strong) < 3.6
    )  # whole pixels, drawn inwards


def test_corners_below_a_later_shape_are_no_labels(canvas: Any) -> None:
    canvas.fill(np.array([[20.0, 20.0], [60.0, 20.0], [60.0, 60.0], [20.0, 60.0]]), 120)
    canvas.fill(np.array([[40.0, 40.0], [90.0, 40.0], [90.0, 90.0], [40.0, 90.0]]), 220)
    labels = canvas.corners
    assert nearest(labels, (60, 60)) > 5
    assert nearest(labels, (20, 20)) == 0 and nearest(labels, (40, 40)) == 0
    # The first square's sides end at the second: T-junctions.
    assert nearest(labels, (60, 40)) < 1e-9 and nearest(labels, (40, 60)) < 1e-9
    assert len(labels) == 3 + 4 + 2


def test_edges_hidden_below_a_shape_make_no_junctions_above_it(canvas: Any) -> None:
    canvas.fill(np.array([[20.0, 20.0], [60.0, 20.0], [60.0, 60.0], [20.0, 60.0]]), 120)
    canvas.fill(np.array([[10.0, 10.0], [90.0, 10.0], [90.0, 90.0], [10.0, 90.0]]), 180)
    canvas.fill(np.array([[40.0, 40.0], [80.0, 40.0], [80.0, 80.0], [40.0, 80.0]]), 240)
    assert len(canvas.corners) == 4 + 4


def test_crossing_lines_are_labelled_at_ends_and_crossing(canvas: Any) -> None:
    canvas.stroke(np.array([[20.0, 30.0], [100.0, 30.0]]), 2, 200)
    canvas.stroke(np.array([[50.0, 10.0], [50.0, 90.0]]), 2, 150)
    assert len(canvas.corners) == 5
    assert nearest(canvas.corners, (50, 30)) < 1e-9


def test_a_cube_labels_the_corners_in_sight_and_their_inner_one(load: Load) -> None:
    forms = load("training.shape_forms")
    for seed in range(20):
        corners, faces = forms.box(np.random.default_rng(seed), np.array([80.0, 60.0]), 40.0)
        seen, times = np.unique(faces, return_counts=True)
        assert corners.shape == (8, 2) and faces.shape == (3, 4)
        assert sorted(times) == [1, 1, 1, 2, 2, 2, 3]
        hull = cv2.convexHull(corners.astype(np.float32))[:, 0]
        inner = corners[seen[times == 3]][0]
        assert len(hull) == 6
        assert cv2.pointPolygonTest(hull, (float(inner[0]), float(inner[1])), False) > 0


def test_a_corner_too_faint_or_on_a_mere_edge_is_no_label(shapes: ModuleType) -> None:
    image = np.full(SIZE, 50, dtype=np.float32)
    image[40:, 40:] += 100  # an upper left corner at (39.5, 39.5)
    image[:20, 80:] += 3
    points = np.array([[39.5, 39.5], [39.5, 80.0], [79.5, 19.5], [120.0, 80.0]])
    assert np.array_equal(shapes.labels(points, image, shapes.MIN_CONTRAST), points[:1])


def test_labels_near_one_another_are_thinned_to_the_first(shapes: ModuleType) -> None:
    image = np.zeros(SIZE, dtype=np.float32)
    image[::6, ::6] = 255  # corners everywhere
    points = np.array([[30.0, 30.0], [31.5, 30.0], [33.0, 30.0], [60.0, 60.0]])
    assert np.array_equal(shapes.labels(points, image, shapes.MIN_CONTRAST), points[[0, 2, 3]])


def test_motion_and_focus_leave_corners_in_place(shapes: ModuleType) -> None:
    spot = np.zeros((41, 41), dtype=np.float32)
    spot[20, 20] = 1000
    y, x = np.mgrid[:41, :41]
    for seed in range(40):
        image = shapes.blurred(np.random.default_rng(seed), spot)
        assert abs((image * x).sum() / image.sum() - 20) < 1e-3
        assert abs((image * y).sum() / image.sum() - 20) < 1e-3
