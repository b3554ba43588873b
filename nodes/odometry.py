"""Odometry: `Matches` (and `Features`) -> `Trajectory`, `Tracks` and `Keyframe`.

Each stream has a path in segments, every one with a world and a scale of its own. Poses are
published as they are known when their frame comes, and never revised.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt

from nodes.messages import Features, Keyframe, Matches, Tracks, Trajectory
from nodes.vision.camera import Camera
from nodes.vision.odometry.keyframing import Rules
from nodes.vision.odometry.local_map import Gates
from nodes.vision.odometry.odometer import Odometer, Placed
from nodes.vision.odometry.view import Seen
from nodes.vision.robust import seed_for
from pipeline.node import Node, Notice, Output


@dataclass
class _Stream:
    """The path of one stream, and the camera that it is of."""

    odometer: Odometer
    camera: Camera | None = None
    last: Placed | None = None


class Odometry(Node):
    """Follows each stream's camera; `features`, where they come, help to find it again."""

    @dataclass(frozen=True)
    class Params:
        """When frames become keyframes, and what makes a landmark."""

        keyframe_parallax_deg: Annotated[
            float, "median angle of the landmarks to the last keyframe that asks for a new one"
        ] = 2.0
        keyframe_min_tracked: Annotated[
            float, "share of the last keyframe's landmarks below which a new one is due"
        ] = 0.7
        keyframe_budget: Annotated[
            float, "largest share of the frames that become keyframes, but where tracking fails"
        ] = 0.5
        window: Annotated[int, "keyframes that are adjusted together"] = 6
        max_keyframes: Annotated[int, "keyframes remembered to find the camera again"] = 24
        max_error_px: Annotated[float, "largest reprojection error of a landmark, pixels"] = 2.5
        min_parallax_deg: Annotated[
            float, "smallest angle between the views that give a landmark its place"
        ] = 1.2
        min_landmarks: Annotated[int, "landmarks that must agree to place a frame"] = 15

        def __post_init__(self) -> None:
            for key, low in (("window", 2), ("min_landmarks", 6)):
                if getattr(self, key) < low:
                    raise ValueError(f"{key} must be at least {low}, not {getattr(self, key)}")
            if self.max_keyframes < self.window:
                raise ValueError(
                    f"max_keyframes must be at least window ({self.window}), "
                    f"not {self.max_keyframes}"
                )
            for key in ("keyframe_min_tracked", "keyframe_budget"):
                if not 0 < getattr(self, key) <= 1:
                    raise ValueError(f"{key} must be more than 0 and at most 1, "
                                     f"not {getattr(self, key)}")  # fmt: skip
            for key in ("keyframe_parallax_deg", "max_error_px", "min_parallax_deg"):
                if not 0 < getattr(self, key) < float("inf"):
                    raise ValueError(f"{key} must be more than 0, not {getattr(self, key)}")

        def rules(self) -> Rules:
            """Return what concerns frames."""
            return Rules(
                self.min_landmarks,
                keyframe_parallax_deg=self.keyframe_parallax_deg,
                keyframe_min_tracked=self.keyframe_min_tracked,
                keyframe_budget=self.keyframe_budget,
            )

        def gates(self) -> Gates:
            """Return what concerns landmarks."""
            return Gates(self.max_error_px, self.min_parallax_deg, self.window, self.max_keyframes)

    outputs: ClassVar = {
        "trajectory": Output(Trajectory),
        "tracks": Output(Tracks),
        "keyframe": Output(Keyframe, dense=False),
    }

    def __init__(self, params: Params | None = None) -> None:
        super().__init__(params)
        self._streams: dict[str, _Stream] = {}

    def process(
        self, matches: Matches, features: Features | None = None
    ) -> Iterator[Trajectory | Tracks | Keyframe]:
        """Place the camera of the current frame."""
        stream = self._stream(matches.stream)
        if matches.camera != stream.camera:
            self._change_camera(stream, matches)
        seen = _seen(matches, features, self.resources.seed)
        placed = stream.odometer.update(seen)
        stream.last = placed
        self.resources.report("landmarks", placed.num_landmarks)
        yield _trajectory(matches, placed)
        yield from _points(matches, placed)

    def notice(self, port: str, notice: Notice) -> None:
        """End the segment where the stream breaks."""
        if port == "matches" and notice.kind == "break":
            self._stream(notice.stream).odometer.restart()

    def flush(self, stream: str) -> Iterator[Keyframe]:
        """Forget a stream that has ended; say so where it has no path."""
        ended = self._streams.pop(stream, None)
        if ended is not None and ended.last is not None and ended.last.segment < 0:
            self.resources.warn(f"stream {stream!r}: no trajectory; at its end {ended.last.reason}")
        return iter(())

    def _change_camera(self, stream: _Stream, matches: Matches) -> None:
        """End the segment: its unit and shape are those of another camera."""
        if stream.last is not None and stream.last.T_world_cam is not None:
            self.resources.warn(
                f"stream {matches.stream!r}: a new segment begins at frame {matches.seq}, where "
                "the camera changes (an estimated focal length counts from there on)"
            )
        stream.odometer.restart()
        stream.camera = matches.camera

    def _stream(self, name: str) -> _Stream:
        if name not in self._streams:
            odometer = Odometer(self.params.rules(), self.params.gates())
            self._streams[name] = _Stream(odometer)
        return self._streams[name]


def _seen(matches: Matches, features: Features | None, seed: int) -> Seen:
    """Take out of the messages what is in sight: keypoints with undistorted pixels."""
    if features is not None and len(features.keypoints) != len(matches.keypoints_cur):
        raise ValueError("features must be those that the matches are of")
    camera = matches.camera
    keypoints = camera.undistorted_pixels(matches.keypoints_cur)
    is_finite = np.asarray(np.isfinite(keypoints).all(axis=1), np.bool_)
    new_rows = np.cumsum(is_finite) - 1
    rows_prev, rows_cur = matches.matches.T
    is_kept = is_finite[rows_cur]
    return Seen(
        seq=matches.seq,
        K=camera.K,
        width=camera.width,
        seed=seed_for(seed, matches.stream, matches.seq_prev, matches.seq),
        keypoint_ids=matches.ids_cur[is_finite],
        keypoints=keypoints[is_finite],
        ids_prev=matches.ids_prev[rows_prev[is_kept]],
        rows=new_rows[rows_cur[is_kept]],
        descriptors=None if features is None else features.descriptors[is_finite],
        is_focal_known=camera.is_focal_known,
    )


def _trajectory(matches: Matches, placed: Placed) -> Trajectory:
    return Trajectory(
        stream=matches.stream,
        seq=matches.seq,
        stamp_ns=matches.stamp_ns,
        segment=placed.segment,
        T_world_cam=placed.T_world_cam,
        reason=placed.reason,
        is_keyframe=placed.keyframe is not None,
        num_landmarks=placed.num_landmarks,
    )


def _points(matches: Matches, placed: Placed) -> Iterator[Tracks | Keyframe]:
    view = placed.view
    keypoints = _as_seen(matches.camera, view.pixels)
    yield Tracks(
        stream=matches.stream,
        seq=matches.seq,
        stamp_ns=matches.stamp_ns,
        ids=view.ids,
        keypoints=keypoints,
        ages=placed.ages,
        landmarks=placed.landmarks,
        segment=placed.segment,
    )
    if placed.keyframe is not None and placed.T_world_cam is not None:
        is_known = np.isfinite(placed.landmarks[:, 0])
        yield Keyframe(
            stream=matches.stream,
            seq=matches.seq,
            stamp_ns=matches.stamp_ns,
            segment=placed.segment,
            T_world_cam=placed.T_world_cam,
            reason=placed.keyframe,
            ids=view.ids[is_known],
            keypoints=keypoints[is_known],
            landmarks=placed.landmarks[is_known],
        )


def _as_seen(camera: Camera, pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return where the lens shows undistorted pixels (N, 2)."""
    rays = (pixels - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
    return camera.project(np.column_stack([rays, np.ones(len(rays))])).astype(np.float32)
