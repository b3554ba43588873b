"""Photometric augmentation: what light, lens and sensor do to a grey picture, geometry untouched.

It is drawn for each picture after the warp, so that highlights and vignettes move with neither
homography: the network learns that what does not move with the scene is no feature. Everything
comes from the generator. Masks are made small and enlarged, tones and noise are tables: training
on a CPU has about a millisecond for a picture.
"""

import math
from dataclasses import dataclass, fields
from statistics import NormalDist
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Mat = npt.NDArray[np.integer[Any] | np.floating[Any]]
"""What cv2 says that its functions return; all such here are uint8."""

MASK_STEP = 8
"""Pixels between the samples of a smooth mask of light."""
REFERENCE_PX = 192
"""Shorter side of the picture for which highlights have their sizes."""
NORMAL = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)])
"""The normal distribution as 256 equally likely values: a random byte is an index into it."""


@dataclass(frozen=True)
class Photometric:
    """How strong each change may be. The off setting of each leaves the picture as it is."""

    brightness: float = 0.15
    """Largest shift either way, of 0..1; 0 is off."""
    contrast: tuple[float, float] = (0.6, 1.4)
    """Least and largest gain about mid-grey; (1, 1) is off."""
    gamma: tuple[float, float] = (0.6, 1.6)
    """Least and largest exponent; (1, 1) is off."""
    noise: float = 0.03
    """Largest standard deviation of the noise, of 0..1; 0 is off."""
    blur_px: float = 1.2
    """Largest standard deviation of the lens's blur; 0 is off."""
    motion_blur_px: float = 5.0
    """Largest length of the streak that motion makes of a point; 0 is off."""
    shade: float = 0.4
    """Share of pictures with soft elliptic shadows and lights."""
    specular: float = 0.1
    """Share of pictures with highlights: saturated blobs with soft rims, as on wet tissue."""
    vignette: float = 0.15
    """Share of pictures lit from the camera: light falls off outwards, black outside a circle."""
    jpeg: float = 0.2
    """Share of pictures that went through JPEG of quality 30 to 90."""

    def __post_init__(self) -> None:
        for name, high in (("brightness", 1.0), ("noise", 1.0)):
            self._check(name, high, "")
        for name in ("blur_px", "motion_blur_px"):
            self._check(name, 50.0, " pixels")
        for name in ("shade", "specular", "vignette", "jpeg"):
            self._check(name, 1.0, "")
        for name in ("contrast", "gamma"):
            pair = getattr(self, name)
            if len(pair) != 2 or not 0 < pair[0] <= pair[1] <= 10:
                raise ValueError(
                    f"{name} must be two rising numbers above 0 and up to 10, not {pair}"
                )

    def _check(self, name: str, high: float, unit: str) -> None:
        value = getattr(self, name)
        if not 0 <= value <= high:
            raise ValueError(f"{name} must be from 0 to {high:g}{unit}, not {value}")


OFF = Photometric(
    **{f.name: (1.0, 1.0) if f.name in ("contrast", "gamma") else 0.0 for f in fields(Photometric)}  # type: ignore[arg-type]
)
"""Settings that change nothing."""


def augment(image: Image, rng: np.random.Generator, settings: Photometric) -> Image:
    """Return a picture (H, W) as another camera might have taken it in other light.

    The order is that of the light's way: onto the scene, through the lens, into the sensor, into
    a file. Every blur is symmetric: keypoints stay where they are.
    """
    vignette = rng.random() < settings.vignette
    made = _light(image, rng, shade=rng.random() < settings.shade, vignette=vignette)
    made = cv2.LUT(made, _tones(rng, settings))
    if rng.random() < settings.specular:
        made = cv2.add(made, highlights(image.shape, rng))
    made = _blur(made, rng, settings)
    made = _add_noise(made, settings.noise * rng.random() ** 2, rng)
    if vignette and rng.random() < 0.5:
        made = cv2.multiply(made, _circle(image.shape, rng), scale=1 / 255)
    if rng.random() < settings.jpeg:
        made = _through_jpeg(made, int(rng.integers(30, 91)))
    return np.asarray(made, np.uint8)


def _light(image: Image, rng: np.random.Generator, *, shade: bool, vignette: bool) -> Mat:
    """Multiply a picture by the light that falls on the scene."""
    if not (shade or vignette):
        return image
    height, width = image.shape
    rows, columns = max(2, height // MASK_STEP), max(2, width // MASK_STEP)
    y = np.linspace(0, height / min(height, width), rows, dtype=np.float32)[:, None]
    x = np.linspace(0, width / min(height, width), columns, dtype=np.float32)[None, :]
    gain = np.ones((rows, columns), np.float32)
    if shade:
        for _ in range(rng.integers(1, 5)):
            gain *= _ellipse(x, y, rng)
    if vignette:
        gain *= _fall_off(x, y, rng)
    return cv2.multiply(image, cv2.resize(gain, (width, height)), dtype=cv2.CV_8U)


def _ellipse(x: Float32, y: Float32, rng: np.random.Generator) -> Float32:
    """Return the gain (rows, columns) of one shadow or light; x and y are in shorter sides."""
    angle, sharpness = rng.uniform(0, math.pi), rng.uniform(2, 6)
    u, v = x - rng.uniform(0, x[0, -1]), y - rng.uniform(0, y[-1, 0])
    along = (u * math.cos(angle) + v * math.sin(angle)) / rng.uniform(0.15, 0.8)
    across = (v * math.cos(angle) - u * math.sin(angle)) / rng.uniform(0.08, 0.4)
    depth = rng.uniform(-0.7, 0.5)
    falloff: Float32 = np.exp(-((along**2 + across**2) ** (sharpness / 2)))
    return 1 + np.float32(depth) * falloff


def _fall_off(x: Float32, y: Float32, rng: np.random.Generator) -> Float32:
    """Return the gain (rows, columns) of a lamp beside the camera: the inverse square law.

    A lamp a distance r before a plane lights it by 1 / (1 + (d / r)^2), d from its foot point.
    """
    u, v = x - x[0, -1] * rng.uniform(0.3, 0.7), y - y[-1, 0] * rng.uniform(0.3, 0.7)
    reach, peak = rng.uniform(0.35, 0.9), rng.uniform(1.0, 1.4)
    gain: Float32 = peak / (1 + (u**2 + v**2) / reach**2)
    return gain


def _tones(rng: np.random.Generator, settings: Photometric) -> Image:
    """Return the table (256,) of a drawn gamma, contrast and brightness."""
    gamma = _log_uniform(rng, *settings.gamma)
    contrast = rng.uniform(*settings.contrast)
    brightness = rng.uniform(-settings.brightness, settings.brightness)
    tones = ((np.arange(256) / 255) ** gamma - 0.5) * contrast + 0.5 + brightness
    return np.rint(np.clip(tones, 0, 1) * 255).astype(np.uint8)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def highlights(shape: tuple[int, ...], rng: np.random.Generator) -> Mat:
    """Return highlights (H, W) to add to a picture: irregular white blobs with soft rims.

    They are the peaks of smooth noise, stretched along a drawn direction and gathered by coarser
    noise, as the ridges of wet tissue gather them; the level is set by the share they cover.
    """
    half = tuple((side + 1) // 2 for side in shape)
    size = min(half) / REFERENCE_PX * _log_uniform(rng, 1.5, 4.5)
    fine = _streaky_noise(half, size, size * rng.uniform(1, 2.5), rng)
    grains = _noise(tuple(max(2, round(side / (8 * size))) for side in half), rng)
    coarse = cv2.resize(grains, half[::-1], interpolation=cv2.INTER_CUBIC)
    field = cv2.addWeighted(fine, 0.8, coarse, 0.2, 0)
    percents = _log_uniform(rng, 0.5, 5.0)
    level = float(np.percentile(field, 100 - percents))
    slope = max(rng.uniform(25, 80), 500 / max(float(field.max()) - level, 1))
    blobs = cv2.LUT(field, np.clip((np.arange(256) - level) * slope, 0, 255).astype(np.uint8))
    return cv2.resize(blobs, shape[::-1])


def _streaky_noise(
    shape: tuple[int, ...], width_px: float, length_px: float, rng: np.random.Generator
) -> Mat:
    """Return smooth noise (H, W) whose grains are so wide and, in a drawn direction, so long."""
    height, width = shape
    grid = cv2.GaussianBlur(_noise((64, 64), rng), (5, 5), 1.0)
    angle = rng.uniform(0, math.pi)
    c, s = math.cos(angle), math.sin(angle)
    grid_from_px = np.array([[c / length_px, s / length_px, 32], [-s / width_px, c / width_px, 32]])
    grid_from_px[:, 2] -= grid_from_px[:, :2] @ (width / 2, height / 2)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(grid, grid_from_px, (width, height), None, flags, cv2.BORDER_WRAP)


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> Image:
    """Return evenly distributed bytes."""
    return np.frombuffer(rng.bytes(math.prod(shape)), np.uint8).reshape(shape)


def _blur(image: Mat, rng: np.random.Generator, settings: Photometric) -> Mat:
    """Blur by the lens, then by motion; most pictures little."""
    sigma, length = (
        settings.blur_px * rng.random() ** 2,
        settings.motion_blur_px * rng.random() ** 2,
    )
    angle = rng.uniform(0, math.pi)
    if sigma > 0.2:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    if length > 0.5:
        image = cv2.filter2D(image, -1, streak(length, angle))
    return image


def streak(length_px: float, angle: float) -> Float32:
    """Return the symmetric kernel (S, S), sum 1, of an even motion along an angle in radians."""
    reach = math.ceil(length_px / 2) + 1
    x = np.arange(-reach, reach + 1, dtype=np.float32)
    y = x[:, None]
    along = np.abs(x * math.cos(angle) + y * math.sin(angle))
    across = y * math.cos(angle) - x * math.sin(angle)
    distance = np.hypot(np.maximum(along - length_px / 2, 0), across)
    kernel: Float32 = np.maximum(1 - distance, 0).astype(np.float32)
    return kernel / np.sum(kernel)


def _add_noise(image: Mat, sigma: float, rng: np.random.Generator) -> Mat:
    """Add normal noise of a standard deviation of 0..1."""
    if sigma * 255 < 0.2:
        return image
    draws = _noise(image.shape, rng)
    steps = np.rint(NORMAL * sigma * 255)
    brighter = cv2.LUT(draws, np.clip(steps, 0, 255).astype(np.uint8))
    darker = cv2.LUT(draws, np.clip(-steps, 0, 255).astype(np.uint8))
    return cv2.subtract(cv2.add(image, brighter), darker)


def _circle(shape: tuple[int, ...], rng: np.random.Generator) -> Mat:
    """Return the mask (H, W), 255 in and 0 outside of the round picture of an endoscope."""
    height, width = shape
    radius = max(height, width) * rng.uniform(0.42, 0.6)
    centre = np.array([width, height]) * rng.uniform(0.45, 0.55, 2)
    mask = np.zeros(shape, np.uint8)
    x, y, r = (round(float(v) * 16) for v in (*centre, radius))
    return cv2.circle(mask, (x, y), r, 255, -1, cv2.LINE_AA, shift=4)


def _through_jpeg(image: Mat, quality: int) -> Mat:
    """Write a picture as JPEG and read it back."""
    _, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))
