"""ALIKED as kornia builds it (Zhao et al., "ALIKED: A Lighter Keypoint and Descriptor Extraction
Network via Deformable Transformation", IEEE Transactions on Instrumentation and Measurement 2023).
"""

import pickle
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from kornia.feature import ALIKED

from nodes.networks.devices import find_device
from pipeline.errors import InputError

Float32 = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

LENGTHS = {"aliked-t16": 64, "aliked-n16": 128}
"""Of the descriptors of each model."""
NMS_RADIUS = 2
"""A keypoint is the best within so many pixels, which is the published value."""
_NOT_LEARNED = {"dkd.hw_grid"}


class AlikedNetwork:
    """The network; may be asked by several threads at once.

    Raises:
        InputError: the file does not hold the weights of the model.
        ConfigError: the device is not here.
    """

    def __init__(self, model: str, path: Path, max_keypoints: int, device: str) -> None:
        self._device = find_device(device)
        network = ALIKED(model, max_keypoints, detection_threshold=-1, nms_radius=NMS_RADIUS)
        _load(network, model, path)
        self._network = network.eval().to(self._device)

    @torch.inference_mode()
    def run(self, image: Image, mask: Image | None) -> tuple[Float32, Float32, Float32]:
        """Find the keypoints of an image (H, W, 3), RGB, where the mask (H, W) is not zero.

        Returns:
            Keypoints (N, 2), pixels; scores (N,) from 0 to 1; descriptors (N, D) of unit norm.
        """
        height, width = image.shape[:2]
        values = np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32) / 255
        features, score_map = self._network.extract_dense_map(
            torch.from_numpy(values).to(self._device)
        )
        if mask is not None:
            score_map = score_map * torch.from_numpy(mask != 0).to(self._device)
        found, scores, _ = self._network.dkd(score_map)
        descriptors, _ = self._network.desc_head(features, found)
        keypoints = (found[0] + 1) / 2 * found[0].new_tensor([width - 1, height - 1])
        return keypoints.cpu().numpy(), scores[0].cpu().numpy(), descriptors[0].cpu().numpy()


def _load(network: ALIKED, model: str, path: Path) -> None:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        missing, unexpected = network.load_state_dict(state, strict=False)
    except (
        OSError, EOFError, RuntimeError, TypeError, ValueError, KeyError, AttributeError,
        pickle.UnpicklingError,
    ) as error:  # fmt: skip
        raise InputError(
            f"{path} does not hold the weights of {model}: it is of another network, no .pth file, "
            "or cut off"
        ) from error
    wrong = sorted(set(missing) - _NOT_LEARNED) + sorted(unexpected)
    if wrong:
        raise InputError(
            f"{path} does not hold the weights of {model}: {wrong[0]} is missing or too much"
        )
