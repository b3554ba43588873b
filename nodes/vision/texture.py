"""Paints seeded pictures that never repeat and have detail at every scale, for the synthetic scene.

Images are (H, W, 3) uint8 RGB. Every function takes the random generator that decides its content.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float32]
Colour = tuple[int, int, int]
Generator = np.random.Generator

PALETTES: tuple[tuple[Colour, ...], ...] = (
    ((38, 70, 83), (42, 157, 143), (233, 196, 106), (244, 162, 97), (231, 111, 81)),
    ((29, 53, 87), (69, 123, 157), (168, 218, 220), (241, 250, 238), (230, 57, 70)),
    ((61, 64, 91), (129, 178, 154), (242, 204, 143), (244, 241, 222), (224, 122, 95)),
    ((53, 80, 112), (109, 89, 122), (181, 101, 118), (229, 107, 111), (234, 172, 139)),
    ((0, 48, 73), (214, 40, 40), (247, 127, 0), (252, 191, 73), (234, 226, 183)),
    ((47, 62, 70), (53, 79, 82), (82, 121, 111), (132, 169, 140), (202, 210, 197)),
)
STONE: tuple[Colour, ...] = (
    (214, 208, 198), (190, 184, 174), (160, 152, 142), (120, 112, 104), (176, 142, 112),
    (96, 98, 102),
)  # fmt: skip
SUBPIXEL_BITS = 4


def fractal(rng: Generator, height: int, width: int) -> Float:
    """Return (H, W) float32 noise in [0, 1] whose amplitude falls with frequency."""
    total = np.zeros((height, width), np.float32)
    cells, amplitude = 3, 1.0
    while cells < max(height, width):
        scale = cells / max(height, width)
        grid = rng.random((round(scale * height) + 2, round(scale * width) + 2), np.float32)
        total += amplitude * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        cells, amplitude = cells * 2, amplitude * 0.6
    return np.asarray((total - total.min()) / np.ptp(total), np.float32)


def leaves(rng: Generator, height: int, width: int, palette: Sequence[Colour]) -> Image:
    """Paint dead leaves: overlapping shapes whose sizes follow a power law, as in natural images.

    The model is that of Lee, Mumford and Huang, "Occlusion models for natural images" (IJCV 2001).
    """
    image = np.full((height, width, 3), palette[0], np.uint8)
    largest, smallest = min(90.0, 0.2 * min(height, width)), 2.5
    quantiles = np.linspace(0, 1, 60 + height * width // 500)
    # Radii with density r^-3, the large ones first, so that none of the small ones vanishes.
    radii = (largest**-2 + (smallest**-2 - largest**-2) * quantiles) ** -0.5
    for radius in radii:
        colour = tinted(rng, palette[int(rng.integers(len(palette)))])
        _polygon(image, _leaf(rng, height, width, radius), colour)
    return image


def mosaic(rng: Generator, height: int, width: int, palette: Sequence[Colour]) -> Image:
    """Paint the Voronoi cells of random points, with a dark line between them."""
    seeds = np.full((height, width), 255, np.uint8)
    count = 30 + height * width // 900
    seeds[rng.integers(height, size=count), rng.integers(width, size=count)] = 0
    _, labels = cv2.distanceTransformWithLabels(
        seeds, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colours = [tinted(rng, palette[i]) for i in rng.integers(len(palette), size=labels.max() + 1)]
    image = np.array(colours, np.uint8)[labels]
    lines = cv2.morphologyEx(labels.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0
    image[lines] //= 2
    return np.asarray(cv2.GaussianBlur(image, (3, 3), 0), np.uint8)


def ridges(rng: Generator, height: int, width: int, palette: Sequence[Colour]) -> Image:
    """Paint a landscape: mountain ridges, each in front of the last, below a sky."""
    image = np.empty((height, width, 3), np.uint8)
    fade = np.linspace(0, 1, height)[:, None]
    image[:] = (np.array(palette[3]) * (1 - fade) + np.array(palette[4]) * fade)[:, None]
    sun = (int(width * rng.uniform(0.2, 0.8)), int(height * rng.uniform(0.15, 0.35)))
    cv2.circle(image, sun, round(0.09 * height) + 2, (255, 244, 214), -1, cv2.LINE_AA)
    rows = np.arange(height)[:, None]
    for layer in range(6):
        profile = height * (0.3 + 0.12 * layer + 0.3 * (fractal(rng, 2, width)[0] - 0.5))
        shade = np.array(palette[2]) * (1 - layer / 5) + np.array(palette[0]) * (layer / 5)
        texture = 0.7 + 0.6 * fractal(rng, height, width)
        ground = np.clip(shade * texture[..., None], 0, 255).astype(np.uint8)
        np.copyto(image, ground, where=(rows > profile)[..., None])
    return image


def plaster(rng: Generator, height: int, width: int, colour: Colour) -> Image:
    """Paint a rough wall."""
    light = 0.86 + 0.2 * fractal(rng, height, width) + 0.03 * rng.standard_normal((height, width))
    return np.asarray(np.clip(np.array(colour) * light[..., None], 0, 255), np.uint8)


def framed(picture: Image, border: int, colour: Colour) -> Image:
    """Put a frame around a picture, inside its borders."""
    framed_picture = picture.copy()
    height, width = picture.shape[:2]
    cv2.rectangle(framed_picture, (0, 0), (width - 1, height - 1), colour, 2 * border)
    return framed_picture


def tinted(rng: Generator, colour: Colour) -> Colour:
    """Return a colour that is a little lighter or darker."""
    r, g, b = np.clip(np.array(colour) * rng.uniform(0.75, 1.2), 0, 255)
    return int(r), int(g), int(b)


def _leaf(rng: Generator, height: int, width: int, radius: float) -> npt.NDArray[np.float64]:
    """Return the corners (C, 2) of a disc or an uneven polygon somewhere in the picture."""
    centre = rng.random(2) * (width, height)
    angles = np.sort(rng.random(int(rng.integers(3, 7)))) * 2 * np.pi
    if rng.random() < 0.35:
        angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    return np.asarray(centre + radius * np.column_stack([np.cos(angles), np.sin(angles)]))


def _polygon(image: Image, corners: npt.NDArray[np.float64], colour: Colour) -> None:
    fixed = np.round(corners * (1 << SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillConvexPoly(image, fixed, colour, cv2.LINE_AA, SUBPIXEL_BITS)
