import numpy as np
import pytest

from nodes.vision.camera import Camera
from nodes.vision.lens import Lens
from nodes.vision.scene import Scene, Surface
from nodes.vision.se3 import from_rotation_translation

CAMERA = Camera(320, 240, 300.0, 300.0, 159.5, 119.5)
IDENTITY = np.eye(4)
DISC_TEXELS = (231.0, 178.0)
DISC_RADIUS = 10.0


def plate(
    origin: tuple[float, float, float],
    edge_u: tuple[float, float, float] = (4, 0, 0),
    edge_v: tuple[float, float, float] = (0, 4, 0),
    grey: int = 100,
    picture: np.ndarray | None = None,
) -> Surface:
    """Return a plate of one grey, 400 texels a side, or with a picture."""
    picture = np.full((400, 400, 3), grey, np.uint8) if picture is None else picture
    return Surface(
        np.array(origin, float), np.array(edge_u, float), np.array(edge_v, float), picture
    )


def disc() -> np.ndarray:
    """Return a dark picture with a soft bright disc around DISC_TEXELS."""
    y, x = np.mgrid[:400, :400]
    distance = np.hypot(x - DISC_TEXELS[0], y - DISC_TEXELS[1])
    grey = np.clip(255 * (1.5 - distance / DISC_RADIUS), 0, 255)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


def centroid(image: np.ndarray) -> np.ndarray:
    weight = image[..., 0].astype(float)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


def disc_in_world(surface: Surface) -> np.ndarray:
    share = (np.array(DISC_TEXELS) + 0.5) / 400
    return surface.origin + share[0] * surface.edge_u + share[1] * surface.edge_v


def turned(yaw: float, pitch: float, position: tuple[float, float, float]) -> np.ndarray:
    c, s = np.cos(yaw), np.sin(yaw)
    R_yaw = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    c, s = np.cos(pitch), np.sin(pitch)
    R_pitch = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return from_rotation_translation(R_yaw @ R_pitch, np.array(position))


@pytest.mark.parametrize("distance", [4.5, 6.0, 11.0, 17.0])
@pytest.mark.parametrize("pose", [(0, 0, (0, 0, 0)), (0.1, -0.07, (0.3, -0.2, 0.4))])
def test_a_point_is_drawn_where_the_camera_projects_it(
    distance: float, pose: tuple[float, float, tuple[float, float, float]]
) -> None:
    surface = plate((-2, -2, distance), picture=disc())
    T_world_cam = turned(*pose)
    image = Scene([surface]).render(CAMERA, T_world_cam)
    point_cam = T_world_cam[:3, :3].T @ (disc_in_world(surface) - T_world_cam[:3, 3])
    # The centroid of a disc that is seen nearly from the front is its centre.
    np.testing.assert_allclose(centroid(image), CAMERA.project(point_cam[None])[0], atol=0.05)


def test_a_lens_bends_the_picture_as_the_camera_projects() -> None:
    camera = Camera(320, 240, 300.0, 300.0, 159.5, 119.5, (-0.3, 0.1, 1e-3, -5e-4))
    surface = plate((-2.2, -1.6, 3), (2.0, 0, 0), (0, 2.0, 0), picture=disc())
    lens = Lens(camera)
    image = lens.distort(Scene([surface]).render(lens.pinhole, IDENTITY))
    assert image.shape == (240, 320, 3)
    truth = camera.project(disc_in_world(surface)[None])[0]
    straight = CAMERA.project(disc_in_world(surface)[None])[0]
    assert np.linalg.norm(truth - straight) > 2
    np.testing.assert_allclose(centroid(image), truth, atol=0.15)


def test_a_lens_that_folds_the_picture_is_refused() -> None:
    camera = Camera(320, 240, 150.0, 150.0, 159.5, 119.5, (-0.8, 0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match=r"^distortion \(-0.8, 0.0, 0.0, 0.0\) leaves pixels"):
        Lens(camera)


def test_depth_is_that_of_the_plane() -> None:
    surface = plate((-4, -4, 2), (8, 0, 4), (0, 8, 0))  # z = 4 + x / 2
    depth = Scene([surface]).depth(CAMERA, IDENTITY)
    x = (np.arange(320) - 159.5) / 300
    np.testing.assert_allclose(depth, np.tile(4 / (1 - x / 2), (240, 1)), rtol=1e-5)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_nearer_surface_hides_the_farther(order: tuple[int, int]) -> None:
    both = [plate((-2, -2, 3), grey=50), plate((-4, -4, 5), (8, 0, 0), (0, 8, 0), grey=200)]
    image = Scene([both[i] for i in order]).render(CAMERA, IDENTITY)
    assert image[120, 160].tolist() == [50, 50, 50]


def test_surfaces_that_cross_hide_each_other_on_either_side() -> None:
    left_near = plate((-4, -4, 3), (8, 0, 2), (0, 8, 0), grey=50)
    right_near = plate((-4, -4, 5), (8, 0, -2), (0, 8, 0), grey=200)
    image = Scene([left_near, right_near]).render(CAMERA, IDENTITY)
    assert (image[120, 100, 0], image[120, 220, 0]) == (50, 200)


def test_a_surface_is_not_seen_from_behind() -> None:
    image = Scene([plate((2, -2, 3), (-4, 0, 0))]).render(CAMERA, IDENTITY)
    assert not image.any()


def test_a_surface_that_passes_beside_the_camera_is_cut_at_it() -> None:
    floor = plate((-5, 1, 10), (10, 0, 0), (0, 0, -20))
    image = Scene([floor]).render(CAMERA, IDENTITY)
    horizon = 119.5 + 300 * 1 / 10
    assert not image[: int(horizon) - 1].any()
    assert (image[int(horizon) + 3 :, 160] == 100).all()


def test_nothing_is_black_and_infinitely_far() -> None:
    scene = Scene([plate((-2, -2, -3)), plate((50, -2, 3))])  # behind the camera; out of view
    assert not scene.render(CAMERA, IDENTITY).any()
    assert np.isinf(scene.depth(CAMERA, IDENTITY)).all()


def test_fine_texture_far_away_becomes_its_mean_instead_of_aliasing() -> None:
    board = (np.indices((400, 400)).sum(axis=0) % 2 * 255).astype(np.uint8)
    surface = plate((-40, -40, 60), (80, 0, 0), (0, 80, 0), picture=np.dstack([board] * 3))
    fine = plate((-4, -4, 24), (8, 0, 0), (0, 8, 0), picture=np.dstack([board] * 3))
    near_image = Scene([surface]).render(CAMERA, IDENTITY)[110:130, 150:170]
    far_image = Scene([fine]).render(CAMERA, IDENTITY)[110:130, 150:170]
    assert near_image.std() > 20  # texels as large as pixels
    assert far_image.std() < 3
    assert abs(float(far_image.mean()) - 127.5) < 3
