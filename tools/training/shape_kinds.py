"""The kinds of synthetic shapes, each a function that draws one scene on a canvas.

The kinds are those of SuperPoint (DeTone et al., CVPRW 2018, section 4), with perspective boards,
boxes and overlapping polygons whose hidden corners are no labels.
"""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from training.shape_canvas import NONE, Canvas
from training.shape_forms import (
    TURN,
    anywhere,
    box,
    contrasting,
    log_uniform,
    outline,
    perspective,
)
from training.shape_geometry import (
    MIN_EDGE_PX,
    Points,
    directions,
    rotation,
    runs_along,
    shortest,
    steps,
)

Kind = Callable[[np.random.Generator, Canvas], None]

MIN_FIELD_PX = 6.0  # side of the smallest fields of checkerboards


def lines(rng: np.random.Generator, canvas: Canvas) -> None:
    """Draw lines and polylines that cross or meet; their points and crossings are corners."""
    drawn = np.empty((0, 2, 2))
    for _ in range(rng.integers(2, 12)):
        path = _path(rng, canvas, drawn)
        edges = np.concatenate([drawn, steps(path)])
        new = range(len(drawn), len(edges))
        if shortest(path) > MIN_EDGE_PX and not any(runs_along(edges[i], edges[:i]) for i in new):
            (grey,) = contrasting(rng, canvas.level(path.mean(axis=0)))
            canvas.stroke(path, stroke_width(rng, canvas), grey)
            drawn = edges
    _occlude(rng, canvas)


def stroke_width(rng: np.random.Generator, canvas: Canvas) -> float:
    """Return a line's width in px: thin enough that an end is one corner."""
    return log_uniform(rng, 1.0, 2.0 + min(canvas.size) / 120)


def _path(rng: np.random.Generator, canvas: Canvas, drawn: Points) -> Points:
    """Return two to four random points; the first may lie on a line `drawn` before."""
    count = 2 if rng.random() < 0.7 else int(rng.integers(3, 5))
    path = np.array([anywhere(rng, canvas.size, -0.05) for _ in range(count)])
    if len(drawn) and rng.random() < 0.3:
        start, end = drawn[rng.integers(len(drawn))]
        share = float(rng.choice([0.0, 1.0, rng.uniform(0.2, 0.8)]))
        path[0] = start + share * (end - start)
    return path


def _place_polygon(rng: np.random.Generator, canvas: Canvas, radius: float) -> None:
    """Fill a random polygon of about `radius` px, now and then with a line around it."""
    centre = anywhere(rng, canvas.size)
    polygon = outline(rng, centre, radius)
    grey, ink = contrasting(rng, canvas.level(centre), 2)
    canvas.fill(polygon, grey)
    if rng.random() < 0.15:
        canvas.stroke(polygon, log_uniform(rng, 1, 2), ink, closed=True)


def _occlude(rng: np.random.Generator, canvas: Canvas) -> None:
    """Now and then lay one polygon over the scene."""
    if rng.random() < 0.2:
        _place_polygon(rng, canvas, log_uniform(rng, 12, 0.35 * min(canvas.size)))


def polygon(rng: np.random.Generator, canvas: Canvas) -> None:
    """Draw one polygon."""
    _place_polygon(rng, canvas, log_uniform(rng, 12, 0.7 * min(canvas.size)))


def polygons(rng: np.random.Generator, canvas: Canvas) -> None:
    """Draw several polygons and a few ellipses, one over the other."""
    for _ in range(rng.integers(3, 9)):
        radius = log_uniform(rng, 12, 0.5 * min(canvas.size))
        if rng.random() < 0.8:
            _place_polygon(rng, canvas, radius)
        else:
            fill = partial(canvas.fill, corners=NONE)
            _ellipse(rng, canvas, fill, anywhere(rng, canvas.size), radius / 1.5)


def checkerboard(rng: np.random.Generator, canvas: Canvas) -> None:
    """Draw a board in perspective, of two greys or of many."""
    side = log_uniform(rng, MIN_FIELD_PX, min(canvas.size) / 3)
    most = int(np.clip(1.3 * max(canvas.size) / side, 3, 24))
    rows, columns = (int(n) for n in rng.integers(2, most + 1, 2))
    dark = rng.uniform(0, 255)
    parity = np.add.outer(np.arange(rows), np.arange(columns)) % 2
    greys: Points = np.where(parity == 0, dark, contrasting(rng, dark)[0])
    style = rng.random()
    if style < 0.3:
        greys = greys + rng.uniform(-30, 30, greys.shape)
    elif style < 0.5:
        greys = rng.uniform(0, 255, greys.shape)
    _board(rng, canvas, greys, (np.arange(rows + 1.0), np.arange(columns + 1.0)), side)


def stripes(rng: np.random.Generator, canvas: Canvas) -> None:
    """Draw parallel stripes of several widths in perspective; their ends are corners."""
    widths = rng.integers(4, 13, rng.integers(2, 12))
    greys = [rng.uniform(0, 255)]
    for _ in widths[1:]:
        greys += contrasting(rng, greys[-1])
    columns = np.append(0.0, np.cumsum(widths))
    length = int(rng.integers(8, max(10, int(columns[-1]) + 1)))
    fields = np.tile(np.repeat(greys, widths), (length, 1))
    side = log_uniform(rng, 1.2, 1.5 * max(canvas.size) / columns[-1])
    _board(rng, canvas, fields, (np.array([0.0, length]), columns), side)


def _board(
    rng: np.random.Generator,
    canvas: Canvas,
    greys: Points,
    lattice: tuple[Points, Points],
    side: float,
) -> None:
    """Draw fields of `greys` in perspective, about `side` px each, and label the lattice.

    lattice: the rows and the columns, in fields, whose crossings are corners.
    """
    fields = np.clip(greys, 0, 255).astype(np.uint8)
    H_image_fields = perspective(rng, anywhere(rng, canvas.size, 0.2), fields.shape, side)
    canvas.grid(fields, H_image_fields)
    points = np.stack(np.meshgrid(lattice[1], lattice[0]), axis=-1)
    points = np.asarray(cv2.perspectiveTransform(points, H_image_fields), dtype=np.float64)
    across = np.stack([points[:, 0], points[:, -1]], axis=1)
    down = np.stack([points[0], points[-1]], axis=1)
    canvas.add(points.reshape(-1, 2), np.concatenate([across, down]))
    _occlude(rng, canvas)


def cube(rng: np.random.Generator, canvas: Canvas) -> None:
    """Draw one to three boxes in perspective, three faces each of different greys."""
    for _ in range(rng.integers(1, 4)):
        radius = log_uniform(rng, 12, 0.5 * min(canvas.size))
        corners, faces = box(rng, anywhere(rng, canvas.size, 0.1), radius)
        seen, times = np.unique(faces, return_counts=True)
        near = seen[times == 3]  # the one corner that all three faces share
        ground, *greys, ink = contrasting(rng, canvas.level(corners[near[0]]), 4)
        ring = cv2.convexHull(corners[seen].astype(np.float32))[:, 0]
        canvas.fill(ring.astype(np.float64), ground)
        for face, grey in zip(faces[1:], greys, strict=True):
            canvas.paint(corners[face], grey)
        ridges = np.stack([corners[[*near, end]] for end in seen[times == 2]])
        canvas.add(corners[near], ridges)
        if rng.random() < 0.25:
            width = log_uniform(rng, 1, 2)
            for face in faces:
                canvas.stroke(corners[face], width, ink, closed=True)
    _occlude(rng, canvas)


def star(rng: np.random.Generator, canvas: Canvas) -> None:
    """Draw thin rays from one centre; the centre and the ends are corners."""
    centre, count = anywhere(rng, canvas.size, 0.1), int(rng.integers(3, 8))
    turns = (np.arange(count) + rng.uniform(0, 0.5, count)) * TURN / count + rng.uniform(0, TURN)
    reach = log_uniform(rng, 16, 0.7 * min(canvas.size)) * rng.uniform(0.6, 1.0, (count, 1))
    width, greys = stroke_width(rng, canvas), contrasting(rng, canvas.level(centre), 2)
    for end in centre + reach * directions(turns):
        canvas.stroke(np.array([centre, end]), width, greys[int(rng.random() < 0.3)])
    _occlude(rng, canvas)


def ellipses(rng: np.random.Generator, canvas: Canvas) -> None:
    """Draw ellipses apart from one another, some with others inside: curves without corners."""
    placed = [(np.array([np.inf, np.inf]), 0.0)]
    for _ in range(rng.integers(1, 25)):
        centre = anywhere(rng, canvas.size, -0.1)
        radius = log_uniform(rng, 5, 0.4 * min(canvas.size))
        if all(np.hypot(*(centre - c)) > radius + r + 2 for c, r in placed):
            _ellipse(rng, canvas, canvas.paint, centre, radius)
            placed.append((centre, radius))


def _ellipse(
    rng: np.random.Generator,
    canvas: Canvas,
    fill: Callable[[Points, float], None],
    centre: Points,
    radius: float,
) -> None:
    """Fill an ellipse of the longer half axis `radius`, perhaps with smaller ones inside."""
    circle = directions(np.arange(64) * TURN / 64)
    shape = circle * (1.0, rng.uniform(0.55, 1.0)) @ rotation(rng.uniform(0, TURN))
    while True:
        (grey,) = contrasting(rng, canvas.level(centre))
        fill(centre + radius * shape, grey)
        radius *= rng.uniform(0.3, 0.8)
        if radius < 4 or rng.random() < 0.6:
            return


def noise(rng: np.random.Generator, canvas: Canvas) -> None:
    """Fill the picture with noise, fine or coarse: texture without corners."""
    height, width = canvas.size
    coarse = int(rng.integers(1, 4))
    values = rng.standard_normal((-(-height // coarse), -(-width // coarse)), dtype=np.float32)
    values = rng.uniform(60, 200) + rng.uniform(10, 60) * values
    image = cv2.resize(np.clip(values, 0, 255).astype(np.uint8), (width, height))
    canvas.image[:] = cv2.resize(image, canvas.image.shape[::-1], interpolation=cv2.INTER_NEAREST)


KINDS: dict[str, Kind] = {
    "lines": lines,
    "polygon": polygon,
    "polygons": polygons,
    "checkerboard": checkerboard,
    "stripes": stripes,
    "cube": cube,
    "star": star,
    "ellipses": ellipses,
    "noise": noise,
}
