"""XFeat through ONNX Runtime (Potje et al., "XFeat: Accelerated Features for Lightweight Image
Matching", CVPR 2024).

The published export takes pictures of 640 x 640 pixels, divided into 80 x 80 cells of 8 x 8.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
)

from pipeline.errors import InputError

Float32 = npt.NDArray[np.float32]

SIDE = 640
"""Of the picture, pixels."""
CELL = 8
"""Side of a cell, pixels."""
LENGTH = 64
"""Of a descriptor."""
_CELLS = SIDE // CELL
_SHAPES = [(1, c, _CELLS, _CELLS) for c in (LENGTH, CELL * CELL + 1, 1)]
_UNREADABLE = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf)


@dataclass(frozen=True, eq=False)
class Maps:
    """What the network says of a picture.

    heatmap: (640, 640) float32, for each pixel the probability that its cell's keypoint is there.
    reliability: (80, 80) float32, how well each cell can be matched, from 0 to 1.
    descriptors: (80, 80, 64) float32, of unit norm.
    """

    heatmap: Float32
    reliability: Float32
    descriptors: Float32


class XFeatNetwork:
    """The network, on one CPU thread; may be asked by several threads at once.

    Raises:
        InputError: the file is no export of XFeat.
    """

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # sums in one order, hence the same bits
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except _UNREADABLE as error:
            raise InputError(f"{path} is no ONNX model: {error}") from error
        (self._input,) = self._session.get_inputs()[:1]
        shapes = [tuple(output.shape) for output in self._session.get_outputs()]
        if self._input.shape != [1, 3, SIDE, SIDE] or shapes != _SHAPES:
            raise InputError(
                f"{path} is no dense export of XFeat: it makes {shapes} of {self._input.shape}, "
                f"not {_SHAPES} of [1, 3, {SIDE}, {SIDE}]"
            )

    def run(self, picture: npt.NDArray[np.uint8]) -> Maps:
        """Return the maps of a picture (640, 640, 3), RGB."""
        values = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32) / 255
        found = self._session.run(None, {self._input.name: values})
        descriptors, logits, reliability = (np.asarray(array[0], np.float32) for array in found)
        lengths = np.linalg.norm(descriptors, axis=0)
        return Maps(
            heatmap=to_heatmap(logits),
            reliability=reliability[0],
            descriptors=(descriptors / np.maximum(lengths, 1e-12)).transpose(1, 2, 0),
        )


def to_heatmap(logits: Float32) -> Float32:
    """Return the probabilities (8 h, 8 w) of logits (65, h, w).

    The channels are the pixels of a cell, row by row, and last "no keypoint here".
    """
    height, width = logits.shape[1:]
    exponentials = np.exp(logits - logits.max(axis=0))
    shares = (exponentials / exponentials.sum(axis=0))[:-1]
    pixels = shares.reshape(CELL, CELL, height, width).transpose(2, 0, 3, 1)
    return np.asarray(pixels.reshape(CELL * height, CELL * width), np.float32)
