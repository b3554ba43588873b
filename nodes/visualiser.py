"""The visualiser: puts each frame and what became of it into words and hands it to a viewer.

Join it exactly for recordings and by `latest` for live streams. Matches and pose may be missing, as
they are for the first frame of a stream.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt

from nodes.messages import Frame, Matches, RelativePose
from nodes.viewers import VIEWERS, View, Viewer
from nodes.vision.se3 import rotation_angle
from nodes.vision.trails import Trails
from pipeline.node import Message, Node, Resources

State = tuple[str, Literal["good", "bad", "neutral"]]
_NOTHING = np.zeros((0, 2), np.float32)
_NO_TRAILS = np.zeros((0, 2, 2), np.float32)


@dataclass
class _Stream:
    """What is remembered of a stream."""

    first_stamp_ns: int
    trails: Trails
    num_frames: int = 0


class Visualiser(Node):
    """Shows frames with keypoints, trails of matches, and the state of tracking."""

    @dataclass(frozen=True)
    class Params:
        """Settings of the visualiser."""

        viewer: Annotated[str, VIEWERS, "where to show: video (tracks.mp4) or null (nowhere)"] = (
            "null"
        )
        options: Annotated[object, "options of the viewer"] = None
        max_trail: Annotated[int, "positions of a point that are shown, frames"] = 6

        def __post_init__(self) -> None:
            if not 2 <= self.max_trail <= 100:
                raise ValueError(f"max_trail must be 2 to 100, not {self.max_trail}")

    def __init__(self, params: Params | None = None) -> None:
        super().__init__(params)
        self._streams: dict[str, _Stream] = {}
        self._viewer: Viewer = VIEWERS.create("null")

    def open(self, resources: Resources) -> None:
        """Open the viewer."""
        super().open(resources)
        self._viewer = VIEWERS.create(self.params.viewer, self.params.options)
        self._viewer.open(resources.out, resources.streams)

    def process(
        self, frame: Frame, matches: Matches | None = None, pose: RelativePose | None = None
    ) -> Iterable[Message]:
        """Show a frame."""
        stream = self._streams.setdefault(
            frame.stream, _Stream(frame.stamp_ns, Trails(self.params.max_trail))
        )
        state, mood = describe_state(matches, pose, is_first=stream.num_frames == 0)
        stream.num_frames += 1
        inliers = pose.inliers if pose is not None and matches is not None else None
        view = View(
            stream=frame.stream,
            seq=frame.seq,
            stamp_ns=frame.stamp_ns,
            image=frame.image,
            keypoints=_NOTHING if matches is None else matches.keypoints_cur,
            trails=_NO_TRAILS if matches is None else _follow(stream.trails, matches, inliers),
            inliers=inliers,
            title=_title(frame, stream.first_stamp_ns),
            state=state,
            mood=mood,
            facts=_facts(matches, pose),
        )
        self._viewer.show(view)
        return ()

    def close(self) -> None:
        """Close the viewer."""
        self._viewer.close()


def describe_state(matches: Matches | None, pose: RelativePose | None, is_first: bool) -> State:
    """Return what became of a frame, in words, and whether that is good."""
    if pose is None and matches is None:
        return ("first frame", "neutral") if is_first else ("nothing matched", "neutral")
    if pose is None:
        return "matched", "neutral"
    if pose.T_cur_prev is None:
        return f"no pose: {_words(pose.reason or 'no reason given')}", "bad"
    return f"tracking ({_words(pose.label)})", "good"


def _words(reason: str) -> str:
    """Turn "too_few_matches: 6 < 8" into "too few matches (6 < 8)"."""
    name, _, details = reason.partition(": ")
    name = name.replace("_", " ")
    return f"{name} ({details})" if details else name


def _title(frame: Frame, first_stamp_ns: int) -> str:
    seconds = (frame.stamp_ns - first_stamp_ns) / 1e9
    uncalibrated = "" if frame.camera.calibrated else "   uncalibrated"
    return f"{frame.stream}   #{frame.seq}   {seconds:.2f} s{uncalibrated}"


def _facts(matches: Matches | None, pose: RelativePose | None) -> str:
    facts = []
    if pose is not None:
        facts.append(f"{pose.num_inliers} of {pose.num_matches} inliers")
        if pose.T_cur_prev is not None:
            facts.append(f"turned {np.rad2deg(rotation_angle(pose.T_cur_prev[:3, :3])):.2f} deg")
    elif matches is not None:
        facts.append(f"{len(matches.matches)} matches")
    return "   ".join(facts)


def _follow(
    trails: Trails, matches: Matches, inliers: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.float32]:
    rows_prev, rows_cur = matches.matches.T
    return trails.follow(
        matches.ids_prev[rows_prev],
        matches.ids_cur[rows_cur],
        matches.keypoints_prev[rows_prev],
        matches.keypoints_cur[rows_cur],
        np.ones(len(rows_cur), np.bool_) if inliers is None else inliers,
    )
