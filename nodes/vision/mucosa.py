"""Paints a seeded mucosa that has no seam: it repeats in both directions.

All of it comes from noise whose spectrum falls with a power of the frequency, as in natural images;
where such noise crosses zero run the blood vessels.
"""

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Generator = np.random.Generator

PINK, PALE, RED = (224, 128, 106), (238, 172, 146), (150, 38, 40)


def noise(rng: Generator, height: int, width: int, power: float, coarsest: float) -> Float32:
    """Return (H, W) float32 of mean 0 and deviation 1 whose edges fit each other.

    The amplitude falls with the frequency to the `power`; below `coarsest`, in waves over the
    height, there is nothing.
    """
    fy, fx = np.fft.fftfreq(height) * height, np.fft.rfftfreq(width) * height
    frequency = np.hypot.outer(fy, fx)
    amplitude = np.where(frequency < coarsest, 0, np.maximum(frequency, 1) ** -power)
    phases = rng.uniform(0, 2 * np.pi, amplitude.shape)
    image = np.fft.irfft2(amplitude * np.exp(1j * phases), (height, width))
    return np.asarray(image / image.std(), np.float32)


def mucosa(rng: Generator, height: int, width: int) -> Image:
    """Paint (H, W, 3) uint8 RGB: pink tissue, paler in places, with vessels of two widths."""
    pale = 1 / (1 + np.exp(-1.5 * noise(rng, height, width, 1.8, 3)))
    grain = 1 + 0.07 * noise(rng, height, width, 1.0, 12)
    thick = _lines(noise(rng, height, width, 2.4, 5), 0.035)
    thin = _lines(noise(rng, height, width, 2.2, 16), 0.06)
    patchy = np.clip(0.5 + 0.5 * noise(rng, height, width, 2.0, 4), 0, 1)
    vessels = np.maximum(0.75 * thick, 0.5 * thin * patchy)[..., None]
    tissue = np.array(PINK) + pale[..., None] * (np.array(PALE) - np.array(PINK))
    picture = (tissue * (1 - vessels) + np.array(RED) * vessels) * grain[..., None]
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def _lines(values: Float32, width: float) -> Float32:
    """Return 1 where the values cross zero, falling to 0 over `width` in their unit."""
    return np.asarray(np.exp(-((values / width) ** 2)), np.float32)
