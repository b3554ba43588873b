"""Furnishes the synthetic scene: a gallery with pictures and painted boxes, or a single wall.

World: x right, y down, z forward, metres; the camera's paths run round the origin at eye height.
"""

import cv2
import numpy as np
import numpy.typing as npt

from nodes.vision import texture
from nodes.vision.scene import Surface
from nodes.vision.texture import PALETTES, Colour, Generator, Image

Float = npt.NDArray[np.float64]
Box = tuple[Float, Float, float]
"""Centre (3,) and half sizes (3,) in metres, yaw in radians."""

HALF_WIDTH_M, FLOOR_M, CEILING_M, BACK_M, FRONT_M = 3.4, 1.4, -1.5, -3.0, 4.6
WALL_DENSITY, BOX_DENSITY = 200, 360
"""Texels a metre."""
WHITE: Colour = (232, 226, 216)
DARK: Colour = (46, 42, 40)


def gallery(rng: Generator) -> list[Surface]:
    """Build a room with pictures on its walls and boxes on its floor."""
    w, f, c, b, d = HALF_WIDTH_M, FLOOR_M, CEILING_M, BACK_M, FRONT_M
    boxes = _place_boxes(rng)
    walls = [
        _wall(rng, (-w, c, d), (2 * w, 0, 0)),
        _wall(rng, (w, c, d), (0, 0, b - d)),
        _wall(rng, (w, c, b), (-2 * w, 0, 0)),
        _wall(rng, (-w, c, b), (0, 0, d - b)),
    ]
    floor = _surface((-w, f, d), (2 * w, 0, 0), (0, 0, b - d), _floor(rng, boxes))
    ceiling = _surface((-w, c, b), (2 * w, 0, 0), (0, 0, d - b), _ceiling(rng))
    return [*walls, floor, ceiling, *(face for box in boxes for face in _faces(rng, *box))]


def wall(rng: Generator) -> list[Surface]:
    """Build one painted wall, 3 m in front of the origin, that fills the view all along a path."""
    picture = texture.leaves(rng, 2000, 2800, PALETTES[rng.integers(len(PALETTES))])
    return [_surface((-7, -5, 3), (14, 0, 0), (0, 10, 0), picture)]


def _surface(
    origin: tuple[float, ...], edge_u: tuple[float, ...], edge_v: tuple[float, ...], picture: Image
) -> Surface:
    corner, u, v = (np.array(vector, np.float64) for vector in (origin, edge_u, edge_v))
    return Surface(corner, u, v, picture)


def _wall(rng: Generator, origin: tuple[float, ...], edge_u: tuple[float, ...]) -> Surface:
    height = round((FLOOR_M - CEILING_M) * WALL_DENSITY)
    width = round(float(np.abs(edge_u).sum()) * WALL_DENSITY)
    picture = texture.plaster(rng, height, width, WHITE)
    left, number = 40, int(rng.integers(6))
    while width - left > 160:
        size = min(int(rng.integers(150, 360)), width - left - 30)
        tall = int(rng.integers(200, 400))
        top = int(rng.integers(40, max(41, height - tall - 110)))
        picture[top : top + tall, left : left + size] = _painting(rng, tall, size, number)
        left, number = left + size + int(rng.integers(30, 80)), number + 1
    picture[-16:] = texture.plaster(rng, 16, width, DARK)  # a skirting board
    return _surface(origin, edge_u, (0, FLOOR_M - CEILING_M, 0), _darkened_edges(picture))


def _painting(rng: Generator, height: int, width: int, number: int) -> Image:
    """Paint a framed picture; neighbours differ in manner and in colours."""
    paint = (texture.leaves, texture.ridges, texture.mosaic)[number % 3]
    picture = paint(rng, height, width, PALETTES[(5 * number + number // 6) % len(PALETTES)])
    return texture.framed(texture.framed(picture, 9, WHITE), 4, DARK)


def _floor(rng: Generator, boxes: list[Box]) -> Image:
    height = round((FRONT_M - BACK_M) * WALL_DENSITY)
    width = round(2 * HALF_WIDTH_M * WALL_DENSITY)
    stone = texture.leaves(rng, height, width, texture.STONE)
    return _shaded(_darkened_edges(stone), boxes)


def _shaded(floor: Image, boxes: list[Box]) -> Image:
    """Paint the soft shadow in which each box stands."""
    light = np.ones(floor.shape[:2], np.float32)
    for centre, half, yaw in boxes:
        offset = (centre[0] + HALF_WIDTH_M, FRONT_M - centre[2])
        outline = cv2.boxPoints((offset, (2 * half[0] + 0.1, 2 * half[2] + 0.1), np.degrees(-yaw)))
        cv2.fillConvexPoly(light, np.round(outline * WALL_DENSITY).astype(np.int32), 0.35)
    light = np.asarray(cv2.GaussianBlur(light, (0, 0), 0.08 * WALL_DENSITY), np.float32)
    return np.asarray(floor * light[..., None], np.uint8)


def _ceiling(rng: Generator) -> Image:
    height = round((FRONT_M - BACK_M) * WALL_DENSITY / 2)
    width = round(2 * HALF_WIDTH_M * WALL_DENSITY / 2)
    return _darkened_edges(texture.plaster(rng, height, width, WHITE))


def _darkened_edges(picture: Image) -> Image:
    """Darken a wall towards its corners, where less light arrives."""
    height, width = picture.shape[:2]
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    edge = np.minimum.outer(np.minimum(y, height - y), np.minimum(x, width - x)) / WALL_DENSITY
    light = 1 - 0.3 * np.exp(-edge / 0.35)
    return np.asarray(picture * light[..., None], np.uint8)


def _place_boxes(rng: Generator) -> list[Box]:
    """Place one ring of boxes around the camera, and some more in the depth of the room."""
    boxes = []
    for i in range(9):
        angle = 2 * np.pi * (i + rng.uniform(0.2, 0.8)) / 9
        boxes.append(_random_box(rng, rng.uniform(1.9, 2.5), angle))
    for i in range(3):
        angle = np.radians(-24 + 24 * i + rng.uniform(-4, 4))
        boxes.append(_random_box(rng, rng.uniform(3.4, 3.9), angle))
    return boxes


def _random_box(rng: Generator, distance: float, angle: float) -> Box:
    half = rng.uniform((0.2, 0.2, 0.2), (0.36, 0.65, 0.36))
    centre = np.array([distance * np.sin(angle), FLOOR_M - half[1], distance * np.cos(angle)])
    return centre, half, float(rng.uniform(0, np.pi))


def _faces(rng: Generator, centre: Float, half: Float, yaw: float) -> list[Surface]:
    """Return the four sides and the top of a box."""
    palette = PALETTES[rng.integers(len(PALETTES))]
    paint = (texture.leaves, texture.mosaic)[rng.integers(2)]

    def face(origin: Float, edge_u: Float, edge_v: Float, light: float) -> Surface:
        width, height = (round(float(np.linalg.norm(e)) * BOX_DENSITY) for e in (edge_u, edge_v))
        picture = texture.framed(paint(rng, height, width, palette), 4, palette[0])
        return Surface(origin, edge_u, edge_v, np.asarray(picture * light, np.uint8))

    faces = []
    down = np.array([0, 2 * half[1], 0])
    for turn in range(4):
        c, s = np.cos(yaw + turn * np.pi / 2), np.sin(yaw + turn * np.pi / 2)
        a, b = half[::2] if turn % 2 == 0 else half[::-2]
        right, ahead = 2 * a * np.array([c, 0, -s]), 2 * b * np.array([s, 0, c])
        corner = centre - 0.5 * (right + ahead + down)
        faces.append(face(corner, right, down, light=0.8 + 0.2 * s))
    # The top hangs on the last side, seen from above with that side towards the viewer.
    return [*faces, face(corner + ahead, right, -ahead, light=1.0)]
