"""An endoscope's view: a winding tube of mucosa with folds, lit by a lamp at the camera.

World: the tube leads along z, x right, y down, metres. Around its axis `axis(z)` the wall stands at
the distance radius(z, angle); all repeats after LENGTH_M. Rays are followed to the wall by sphere
tracing (Hart, The Visual Computer 1996) on a coarse grid, and refined at every pixel.
"""

import cv2
import numpy as np
import numpy.typing as npt

from nodes.vision.camera import Camera
from nodes.vision.mucosa import mucosa, noise
from nodes.vision.tables import PAD, derivative, levels, looked_up, wrapped

Float = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Generator = np.random.Generator

LENGTH_M, RADIUS_M, FAR_M = 0.32, 0.022, 0.3
AXIS_ROWS, TABLE = 4096, (384, 1536)
PICTURE = (1280, 2944)
"""Texels around and along the tube; about 93 a centimetre both ways."""
NUM_LEVELS = 6
LIT_M = 0.045
"""Distance at which a wall that faces the lamp has the brightness of its texture."""
GAMMA = 2.2
SHININESS, GLOSS, BUMPS = 90.0, 0.8, 0.35
BLOCK, SHORTEST = 512, np.float32(0.004)
COARSE, COARSE_STEPS, EDGE_STEPS = 4, 48, 30
STEP = np.float32(0.6)


def axis(z: float | Float, phase: Float) -> Float:
    """Return the axis and its slope (4, ...): x, y in metres, dx/dz, dy/dz, at the length z."""
    wave = 2 * np.pi / LENGTH_M
    x = 0.016 * np.sin(2 * wave * z + phase[0]) + 0.012 * np.sin(wave * z + phase[1])
    y = 0.012 * np.sin(2 * wave * z + phase[2]) + 0.014 * np.sin(wave * z + phase[3])
    dx = 0.032 * np.cos(2 * wave * z + phase[0]) + 0.012 * np.cos(wave * z + phase[1])
    dy = 0.024 * np.cos(2 * wave * z + phase[2]) + 0.014 * np.cos(wave * z + phase[3])
    return np.array([x, y, wave * dx, wave * dy])


def brightness(distance_m: Float32, cosine: Float32) -> Float32:
    """Return the factor of the texture under a lamp at the camera.

    The light falls with the square of the distance and with the cosine at the wall (Lambert), and
    the sensor answers with the usual gamma of displays.
    """
    light = np.maximum(cosine, 0) * (LIT_M / distance_m) ** 2
    return np.asarray(cv2.pow(np.minimum(light, 1.1), 1 / GAMMA), np.float32)


class Tube:
    """The wall of the tube and its texture."""

    def __init__(self, rng: Generator, phase: Float) -> None:
        z = np.arange(AXIS_ROWS) * LENGTH_M / AXIS_ROWS
        self._axis = wrapped(axis(z, phase).T.astype(np.float32)[None])
        self._wall = wrapped(_walls(rng))
        self._sheet, self._tops = levels(mucosa(rng, *PICTURE), NUM_LEVELS)
        self._bumps = wrapped(_slopes(noise(rng, 512, 1178, 1.6, 10)))

    def render(self, camera: Camera, T_world_cam: Float, gloss: float = GLOSS) -> Image:
        """Return (H, W, 3) uint8 RGB, ignoring distortion; `gloss`: strength of the highlights."""
        view = _View(self, camera, T_world_cam)
        distance = view.trace()
        normal, tangents, place = self._surface(view, distance)
        # At the outlines of folds some rays end a little behind the edge, which faces away.
        cosine = np.maximum(-np.einsum("hwc,hwc->hw", normal, view.rays), np.float32(0.02))
        lit = brightness(distance, cosine)
        picture = self._colour(place, distance, cosine, camera) * lit[..., None]
        if gloss:
            picture += self._highlights(view, normal, tangents, place, distance, gloss)[..., None]
        return np.asarray(np.clip(picture, 0, 255), np.uint8)

    def depth(self, camera: Camera, T_world_cam: Float) -> Float32:
        """Return (H, W) float32 metres along z, ignoring distortion; FAR_M away at most."""
        view = _View(self, camera, T_world_cam)
        return np.asarray(view.trace() * view.cosines, np.float32)

    def cylinder(self, points: Float32) -> tuple[Float32, Float32, Float32, Float32]:
        """Return, for points (H, W, 3), x and y from the axis, the angle, and the axis' slope."""
        along = points[..., 2] * np.float32(AXIS_ROWS / LENGTH_M)
        along = np.mod(along, np.float32(AXIS_ROWS)) + np.float32(PAD)
        found = cv2.remap(self._axis, along, np.full_like(along, PAD), cv2.INTER_LINEAR)
        x, y = points[..., 0] - found[..., 0], points[..., 1] - found[..., 1]
        return x, y, np.asarray(cv2.phase(x, y), np.float32), np.asarray(found[..., 2:], np.float32)

    def wall(self, angle: Float32, z: Float32) -> Float32:
        """Return (H, W, 3) radius, its derivatives by z and by the angle."""
        return looked_up(self._wall, TABLE, _fraction(angle, z))

    def inside(self, points: Float32) -> Float32:
        """Return how far points (H, W, 3) lie inside the wall, measured across the axis, metres."""
        x, y, angle, _ = self.cylinder(points)
        radius = self.wall(angle, points[..., 2])[..., 0]
        return np.asarray(radius - np.hypot(x, y), np.float32)

    def _surface(self, view: "_View", distance: Float32) -> tuple[Float32, Float32, Float32]:
        """Return the normal (H, W, 3) into the tube, its direction around, and (angle, z)."""
        points = view.at(distance)
        x, y, angle, slope = self.cylinder(points)
        rho = np.maximum(np.hypot(x, y), 1e-6)
        radius = self.wall(angle, points[..., 2])
        around = np.stack([-y / rho, x / rho], axis=-1)
        gradient = np.empty_like(points)
        gradient[..., 0] = radius[..., 2] / rho * around[..., 0] - x / rho
        gradient[..., 1] = radius[..., 2] / rho * around[..., 1] - y / rho
        along = (gradient[..., :2] * slope).sum(axis=-1)
        gradient[..., 2] = radius[..., 1] - along
        gradient /= np.linalg.norm(gradient, axis=-1, keepdims=True)
        place = np.stack([angle, points[..., 2]], axis=-1)
        return gradient, np.asarray(around, np.float32), np.asarray(place, np.float32)

    def _colour(
        self, place: Float32, distance: Float32, cosine: Float32, camera: Camera
    ) -> Float32:
        """Return the texture (H, W, 3) float32 from the level whose texels are as large as a pixel.

        A slanted wall is compressed in one direction; the mean of both directions is taken.
        """
        texel_m = LENGTH_M / PICTURE[1]
        pixel_m = distance / np.float32(camera.fx) / np.sqrt(np.clip(cosine, 0.05, 1))
        level = np.rint(np.log2(np.maximum(pixel_m / texel_m, 1)))
        level = np.clip(level, 0, NUM_LEVELS - 1).astype(np.int32)
        u, v = _fraction(place[..., 0], place[..., 1])
        scale = np.float32(0.5) ** np.arange(NUM_LEVELS, dtype=np.float32)
        x = v * (PICTURE[1] * scale)[level] - np.float32(0.5) + PAD
        y = u * (PICTURE[0] * scale)[level] - np.float32(0.5) + (PAD + self._tops)[level]
        return np.asarray(cv2.remap(self._sheet, x, y, cv2.INTER_LINEAR), np.float32)

    def _highlights(
        self, view: "_View", normal: Float32, around: Float32, place: Float32, distance: Float32,
        gloss: float,
    ) -> Float32:  # fmt: skip
        """Return the light (H, W) that the wet wall mirrors, after Blinn (SIGGRAPH 1977).

        Lamp and eye are one, so that a facet shines where its normal points at the camera: the
        highlights wander over the wall as the camera moves.
        """
        shape = self._bumps.shape[0] - 2 * PAD, self._bumps.shape[1] - 2 * PAD
        fraction = _fraction(place[..., 0], place[..., 1])
        bump = looked_up(self._bumps, shape, fraction)
        facet = normal.copy()
        facet[..., :2] += bump[..., :1] * around
        facet[..., 2] += bump[..., 1]
        facing = -np.einsum("hwc,hwc->hw", facet, view.rays) / np.linalg.norm(facet, axis=-1)
        strength = np.minimum((LIT_M / distance) ** 2, 4) * gloss
        return np.asarray(255 * strength * np.maximum(facing, 0) ** SHININESS, np.float32)


class _View:
    """The rays of a camera in the tube."""

    def __init__(self, tube: Tube, camera: Camera, T_world_cam: Float) -> None:
        self._tube = tube
        x = (np.arange(camera.width) - camera.cx) / camera.fx
        y = (np.arange(camera.height) - camera.cy) / camera.fy
        rays = np.stack([*np.meshgrid(x, y), np.ones((camera.height, camera.width))], axis=-1)
        lengths = np.linalg.norm(rays, axis=-1)
        self.cosines = (1 / lengths).astype(np.float32)
        self.rays = ((rays / lengths[..., None]) @ T_world_cam[:3, :3].T).astype(np.float32)
        origin = T_world_cam[:3, 3].copy()
        origin[2] %= LENGTH_M
        self._origin = origin.astype(np.float32)

    def at(self, distance: Float32, rays: Float32 | None = None) -> Float32:
        """Return the points (..., 3) at these distances; z is counted from the camera's period."""
        rays = self.rays if rays is None else rays
        return np.asarray(self._origin + distance[..., None] * rays, np.float32)

    def trace(self) -> Float32:
        """Return the distance (H, W) to the wall, metres, FAR_M at most."""
        rays = np.ascontiguousarray(self.rays[::COARSE, ::COARSE])
        coarse = self._march(np.zeros(rays.shape[:2], np.float32), rays, COARSE_STEPS)
        height, width = self.rays.shape[:2]
        low = np.asarray(cv2.erode(coarse, np.ones((5, 5))), np.float32)
        high = np.asarray(cv2.dilate(coarse, np.ones((5, 5))), np.float32)
        fine = _enlarged(coarse, width, height)
        is_edge = _enlarged((high > 1.12 * low).astype(np.float32), width, height) > 0
        where = np.flatnonzero(is_edge)
        if len(where):
            # OpenCV interpolates pictures only: the pixels are laid out in rows, the last repeated.
            where = np.resize(where, (-(-len(where) // BLOCK), BLOCK))
            start = _enlarged(low, width, height).reshape(-1)[where] * np.float32(0.98)
            edges = self._march(start, self.rays.reshape(-1, 3)[where], EDGE_STEPS)
            fine.reshape(-1)[where] = edges
        return self._refined(fine)

    def _march(self, distance: Float32, rays: Float32, steps: int) -> Float32:
        """Go along rays towards the wall by sphere tracing.

        A ray that grazes a fold would need steps without end: none is shorter than about a pixel.
        """
        for _ in range(steps):
            gap = self._tube.inside(self.at(distance, rays))
            step = np.where(gap > 0, np.maximum(STEP * gap, SHORTEST * distance), STEP * gap)
            distance = np.clip(distance + step.astype(np.float32), 0, np.float32(FAR_M))
        return distance

    def _refined(self, distance: Float32) -> Float32:
        """Find the wall near a first guess by the secant method."""
        before, gap_before = distance, self._tube.inside(self.at(distance))
        distance = distance + np.float32(STEP) * gap_before
        for _ in range(2):
            gap = self._tube.inside(self.at(distance))
            change = gap - gap_before
            slope = np.where(np.abs(change) > 1e-7, change, np.float32(np.inf))
            step = np.clip(gap * (distance - before) / slope, -0.05 * distance, 0.05 * distance)
            before, gap_before, distance = distance, gap, (distance - step).astype(np.float32)
        return np.asarray(np.clip(distance, 1e-3, FAR_M), np.float32)


def _walls(rng: Generator) -> Float32:
    """Return the table (angle, z, 3) of the radius and its derivatives: folds and soft bulges."""
    angle = np.linspace(0, 2 * np.pi, TABLE[0], endpoint=False)[:, None]
    z = np.linspace(0, 2 * np.pi, TABLE[1], endpoint=False)[None]
    a, b, c = rng.uniform(0, 2 * np.pi, 3)
    # The haustral folds of a colon run across it, and are deepest between its three bands.
    ring = 0.5 + 0.5 * np.cos(10 * z + 1.2 * np.sin(2 * z + a) + 0.5 * np.sin(angle + b))
    bands = 0.65 + 0.35 * np.cos(3 * angle + c + np.sin(z))
    radius = 1 + 0.1 * np.sin(2 * z + b) * np.cos(angle + a) - 0.34 * ring**5 * bands
    radius = RADIUS_M * radius + 0.0003 * noise(rng, *TABLE, 2.2, 4)
    by_z = derivative(radius, 1) * TABLE[1] / LENGTH_M
    by_angle = derivative(radius, 0) * TABLE[0] / (2 * np.pi)
    return np.stack([radius, by_z, by_angle], axis=-1).astype(np.float32)


def _slopes(height: Float32) -> Float32:
    """Return the slopes (H, W, 2) around and along of small bumps of deviation BUMPS."""
    slopes = np.stack([derivative(height, 0), derivative(height, 1)], axis=-1)
    return np.asarray(BUMPS * slopes / slopes.std(), np.float32)


def _fraction(angle: Float32, z: Float32) -> tuple[Float32, Float32]:
    """Return the place on the wall, around and along, as parts of the whole in [0, 1)."""
    u = angle * np.float32(0.5 / np.pi)
    v = np.mod(z * np.float32(1 / LENGTH_M), np.float32(1))
    return np.asarray(u), np.asarray(v)


def _enlarged(coarse: Float32, width: int, height: int) -> Float32:
    """Return values of every COARSE-th pixel for all pixels (height, width)."""
    x, y = np.meshgrid(
        np.arange(width, dtype=np.float32) / COARSE, np.arange(height, dtype=np.float32) / COARSE
    )
    found = cv2.remap(coarse, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32)
