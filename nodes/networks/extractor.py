"""How SuperPoint runs: image by image on a CPU, in batches on a GPU.

Each call takes a slot: buffers of one shape, and on a GPU a stream and a CUDA graph of their own.
Several threads may call at once; while one copies, another computes. On a GPU the images go up as
bytes from pinned memory, everything else happens there, and one packed result comes down.

Letters in shapes: B batch, H W image.
"""

from collections import deque
from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from nodes.networks.devices import find_device
from nodes.networks.keypoint_head import Found, Selection, find_keypoints, unpack
from nodes.networks.superpoint import CELL, SuperPoint

Image = npt.NDArray[np.uint8]

PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
MAX_IDLE = 8
"""Slots that wait for the next call; photographs of many sizes would else fill the memory."""


class Extractor:
    """Finds keypoints with a network; may be called by several threads.

    network: on any device; the extractor takes it over. batch_size: number of images that a GPU
    takes at once. A smaller batch is filled up with black, so that its speed and its kernels, and
    with them the results, do not depend on how many images happened to come together.
    """

    def __init__(
        self,
        network: SuperPoint,
        selection: Selection | None = None,
        *,
        device: str = "auto",
        precision: str = "auto",
        batch_size: int = 8,
    ) -> None:
        self.device = find_device(device)
        self.dtype = find_dtype(precision, self.device)
        self.selection = selection or Selection()
        self.batch_size = batch_size
        self._network = network.eval().requires_grad_(False)
        self._network.to(self.device, self.dtype)
        for parameter in self._network.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.to(memory_format=torch.channels_last)
        self._idle: deque[_Slot] = deque()
        self.descriptor_length = network.widths.descriptor
        self.right_to_record = deque(["right"])
        """Whoever holds it may record a CUDA graph; PyTorch records one at a time."""

    def extract(self, image: Image, mask: Image | None = None) -> Found:
        """Return the keypoints of a grey image (H, W), best first; none where the mask is 0."""
        return self.extract_together([image], [mask], 1)[0]

    def extract_batch(self, images: Sequence[Image], masks: Sequence[Image | None]) -> list[Found]:
        """Return what `extract` would for each image; a GPU takes images of one size together.

        On a CPU the results are the same to the bit. On a GPU another batch size may choose other
        kernels, which differ by rounding.
        """
        if self.device.type == "cpu":  # eight at once take longer than eight after each other
            return [self.extract(image, mask) for image, mask in zip(images, masks, strict=True)]
        return self.extract_together(images, masks, self.batch_size)

    @torch.inference_mode()
    def extract_together(
        self, images: Sequence[Image], masks: Sequence[Image | None], batch_size: int
    ) -> list[Found]:
        """Do what `extract_batch` does, in batches of one size, equal shapes together."""
        found: dict[int, Found] = {}
        for shape in dict.fromkeys(image.shape for image in images):
            same = [i for i, image in enumerate(images) if image.shape == shape]
            for start in range(0, len(same), batch_size):
                rows = same[start : start + batch_size]
                slot = self._take((batch_size, *shape))
                results = slot.run([images[i] for i in rows], [masks[i] for i in rows])
                self._give(slot)
                found.update(zip(rows, results, strict=True))
        return [found[i] for i in range(len(images))]

    def compute(self, images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """Return the packed keypoints of images (B, H, W) uint8 on the device."""
        height, width = images.shape[1:]
        values = images.unsqueeze(1).to(self.dtype) * (1 / 255)
        # Repeating the last pixels makes no edge, as zeros would.
        values = functional.pad(values, (0, -width % CELL, 0, -height % CELL), mode="replicate")
        logits, descriptors = self._network(values)
        return find_keypoints(logits, descriptors, masks, self.selection)

    def _take(self, shape: tuple[int, ...]) -> "_Slot":
        """Return an idle slot of the shape (B, H, W), or a new one."""
        for _ in range(len(self._idle)):
            try:
                slot = self._idle.popleft()
            except IndexError:  # other threads were faster
                break
            if slot.shape == shape:
                return slot
            self._idle.append(slot)
        return _Slot(self, shape)

    def _give(self, slot: "_Slot") -> None:
        self._idle.append(slot)
        if len(self._idle) > MAX_IDLE:
            try:
                self._idle.popleft()
            except IndexError:  # other threads were faster
                return


def find_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the type of a precision; auto is float32 on a CPU and float16 on a GPU.

    float16 has three bits more than bfloat16, and no value in these networks comes near its limit.
    """
    if precision == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    return PRECISIONS[precision]


class _Slot:
    """Buffers for batches of one shape (B, H, W): filled, computed, read, then free again."""

    def __init__(self, extractor: Extractor, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self._extractor = extractor
        self._is_cuda = extractor.device.type == "cuda"
        self._host_images = torch.zeros(shape, dtype=torch.uint8, pin_memory=self._is_cuda)
        self._host_masks = torch.ones(shape, dtype=torch.uint8, pin_memory=self._is_cuda)
        self._images = self._host_images.to(extractor.device, copy=True)
        self._masks = self._host_masks.to(extractor.device, copy=True)
        self._has_masks = False
        self._host_packed: torch.Tensor | None = None
        self._is_warm = False
        self._graph: torch.cuda.CUDAGraph | None = None
        if self._is_cuda:
            self._stream = torch.cuda.Stream(extractor.device)  # type: ignore[no-untyped-call]
            self._stream.wait_stream(torch.cuda.current_stream(extractor.device))
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def run(self, images: Sequence[Image], masks: Sequence[Image | None]) -> list[Found]:
        """Return the keypoints of at most B images."""
        had_masks, self._has_masks = self._has_masks, any(mask is not None for mask in masks)
        self._fill(images, masks, has_masks=had_masks or self._has_masks)
        with torch.cuda.stream(self._stream) if self._is_cuda else nullcontext():
            self._images.copy_(self._host_images, non_blocking=True)
            if had_masks or self._has_masks:
                self._masks.copy_(self._host_masks, non_blocking=True)
            packed = self._compute()
            if self._host_packed is None:
                self._host_packed = torch.empty(packed.shape, pin_memory=self._is_cuda)
            self._host_packed.copy_(packed, non_blocking=True)
            if self._is_cuda:
                self._done.record()
                self._done.synchronize()
        length = self._extractor.descriptor_length
        return [unpack(row, length) for row in self._host_packed.numpy()[: len(images)]]

    def _fill(
        self, images: Sequence[Image], masks: Sequence[Image | None], *, has_masks: bool
    ) -> None:
        """Write the images and masks into the buffers of the host; the rest becomes black."""
        host_images, host_masks = self._host_images.numpy(), self._host_masks.numpy()
        host_images[len(images) :] = 0
        for row, image in zip(host_images, images, strict=False):
            row[:] = image
        if has_masks:
            for row, mask in zip(host_masks, masks, strict=False):
                row[:] = 1 if mask is None else mask

    def _compute(self) -> torch.Tensor:
        """Return the packed keypoints of the images and masks in the device's buffers.

        The first batch warms up. The second is recorded as a graph, if nobody else is recording, so
        that a folder of pictures of many sizes does not pay for graphs that it never uses again.
        """
        if self._is_cuda and self._is_warm and self._graph is None:
            self._record()
        if self._graph is not None:
            self._graph.replay()
            return self._recorded
        self._is_warm = True
        return self._extractor.compute(self._images, self._masks)

    def _record(self) -> None:
        """Record the computation as a CUDA graph, unless another slot is being recorded."""
        try:
            right = self._extractor.right_to_record.pop()
        except IndexError:
            return
        try:
            graph = torch.cuda.CUDAGraph()
            # Other threads go on with their own streams meanwhile.
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                self._recorded = self._extractor.compute(self._images, self._masks)
            self._graph = graph
        finally:
            self._extractor.right_to_record.append(right)
