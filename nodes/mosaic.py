"""The mosaic: panoramas of frames and the homographies between them, as `Mosaic`.

Join it exactly. A frame without a homography to the one before begins a new segment, and so does
one that cannot be drawn together with those before it; at the end of a stream its longest segment
is sent. While it runs, no more than two segments are held: the longest so far and the current,
each with 16 bytes a pixel of its picture.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from nodes.messages import Frame, Mosaic, RelativePose
from nodes.vision.canvas import Image
from nodes.vision.panorama import PROJECTIONS, Panorama, Projection
from pipeline.node import Node, Output


@dataclass
class _Segment:
    """Frames without a break between them, and the key of the last of them."""

    panorama: Panorama
    last: Frame


class Mosaicker(Node):
    """Draws each stream's longest segment as one picture, sent when the stream ends."""

    @dataclass(frozen=True)
    class Params:
        """Settings of the mosaic."""

        projection: Annotated[
            Projection, "surface to draw on: plane, sphere, or auto (the sphere for wide turns)"
        ] = "auto"
        max_megapixels: Annotated[
            float, "bound on the picture, which becomes coarser where it would exceed it"
        ] = 32.0
        min_motion: Annotated[
            float, "share of the frame's diagonal that it must move before another one is drawn"
        ] = 0.1

        def __post_init__(self) -> None:
            allowed = ", ".join(PROJECTIONS)
            if self.projection not in PROJECTIONS:
                raise ValueError(f"projection must be one of {allowed}, not {self.projection!r}")
            if not 0.1 <= self.max_megapixels <= 1000:
                raise ValueError(f"max_megapixels must be 0.1 to 1000, not {self.max_megapixels}")
            if not 0 <= self.min_motion < 1:
                raise ValueError(
                    f"min_motion must be at least 0 and less than 1, not {self.min_motion}"
                )

    outputs: ClassVar[Mapping[str, Output]] = {"mosaic": Output(Mosaic, dense=False)}

    def __init__(self, params: Params | None = None) -> None:
        super().__init__(params)
        self._current: dict[str, _Segment] = {}
        self._longest: dict[str, _Segment] = {}
        self._num_frames: dict[str, int] = {}

    def process(self, frame: Frame, pose: RelativePose | None = None) -> Iterable[Mosaic]:
        """Add a frame to the current segment of its stream, or begin another one."""
        if not self._continues(frame, pose):
            self._end_segment(frame.stream)
            self._begin_segment(frame)
        return ()

    def flush(self, stream: str) -> Iterable[Mosaic]:
        """Yield the picture of the longest segment, where there is one of two frames or more."""
        self._end_segment(stream)
        segment = self._longest.pop(stream, None)
        if segment is None:
            return
        panorama = segment.panorama
        image, mask = panorama.render()
        num_elsewhere = self._num_frames.pop(stream) - panorama.num_frames
        for text in _warnings(panorama, num_elsewhere):
            self.resources.warn(f"stream {stream!r}: {text}")
        if panorama.num_frames > 1 and image.size:
            yield _mosaic(segment, image, mask)

    def _continues(self, frame: Frame, pose: RelativePose | None) -> bool:
        """Add a frame to the current segment; False where that is impossible."""
        segment = self._current.get(frame.stream)
        if segment is None or pose is None or pose.H_cur_prev is None:
            return False
        if pose.seq_prev != segment.last.seq or frame.camera != segment.last.camera:
            return False
        if not segment.panorama.add(frame.image, frame.mask, pose.H_cur_prev):
            return False
        segment.last = frame
        return True

    def _begin_segment(self, frame: Frame) -> None:
        params = self.params
        panorama = Panorama(
            frame.camera, params.projection, params.max_megapixels * 1e6, params.min_motion
        )
        panorama.add(frame.image, frame.mask, np.eye(3))
        self._current[frame.stream] = _Segment(panorama, frame)

    def _end_segment(self, stream: str) -> None:
        """Keep the current segment where it is the longest so far."""
        segment = self._current.pop(stream, None)
        if segment is None:
            return
        num_frames = segment.panorama.num_frames
        self._num_frames[stream] = self._num_frames.get(stream, 0) + num_frames
        longest = self._longest.get(stream)
        if longest is None or num_frames > longest.panorama.num_frames:
            self._longest[stream] = segment


def _warnings(panorama: Panorama, num_elsewhere: int) -> Iterable[str]:
    if panorama.num_frames + num_elsewhere == 1:
        yield "no panorama of a single frame"
    elif panorama.num_frames == 1:
        yield "no panorama, because no two frames in a row could be joined"
    elif num_elsewhere:
        yield (
            f"the panorama shows the longest unbroken segment, {panorama.num_frames} frames; "
            f"{num_elsewhere} frames of other segments are left out"
        )
    if panorama.num_left_out:
        yield f"{panorama.num_left_out} frames are too far aside to be drawn in the panorama"


def _mosaic(segment: _Segment, image: Image, mask: Image) -> Mosaic:
    height, width = mask.shape
    return Mosaic(
        stream=segment.last.stream,
        seq=segment.last.seq,
        stamp_ns=segment.last.stamp_ns,
        image=image,
        mask=mask,
        origin=(0, 0),
        canvas_size=(width, height),
        num_frames=segment.panorama.num_drawn,
    )
