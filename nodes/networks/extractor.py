"""How SuperPoint runs: image by image on a CPU, in batches on a GPU.

Several threads may call at once; while one copies, another computes. Each takes a lane, on a GPU a
stream, and there the slot of its shape: buffers and a CUDA graph. On a GPU the images go up as
bytes from pinned memory, everything else happens there, and one packed result comes down.

Letters in shapes: B batch, H W image.
"""

import os
import threading
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from queue import LifoQueue

import numpy as np
import numpy.typing as npt
import torch

from nodes.networks.devices import find_device, find_dtype, use_channels_last
from nodes.networks.keypoint_head import Found, pack, unpack
from nodes.networks.octaves import find_in_octaves
from nodes.networks.selection import Selection
from nodes.networks.superpoint import SuperPoint
from pipeline.errors import InputError

Image = npt.NDArray[np.uint8]

GPU_LANES = 3
"""One is filled, one computes, one is read; a fourth thread waits, and memory stays bounded."""
MAX_ELEMENTS = 2**31 - 1
"""Of a tensor; convolutions count them in 32 bits."""
MAX_SLOTS = 4
"""Of a lane; photographs of many sizes would else fill the memory."""
_RECORDING = threading.Lock()
"""Whoever holds it records a CUDA graph; PyTorch records one at a time in a process."""


class Extractor:
    """Finds keypoints with a network; may be called by several threads.

    network: on any device; the extractor takes it over.
    """

    def __init__(
        self,
        network: SuperPoint,
        selection: Selection | None = None,
        *,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        self.device = find_device(device)
        self.dtype = find_dtype(precision, self.device)
        self.selection = selection or Selection()
        self._width = network.widths.blocks[0]
        self._network = network.eval().requires_grad_(False)
        self._network.to(self.device, self.dtype)
        use_channels_last(self._network)
        self.descriptor_length = network.widths.descriptor
        self._lanes: LifoQueue[_Lane] = LifoQueue()  # the last one used has what is needed again
        is_cuda = self.device.type == "cuda"
        for _ in range(GPU_LANES if is_cuda else max(2, os.cpu_count() or 1)):
            self._lanes.put(_Lane(self.device))

    def extract(self, image: Image, mask: Image | None = None) -> Found:
        """Return the keypoints of a grey image (H, W), best first; none where the mask is 0."""
        return self.extract_together([image], [mask], 1)[0]

    def extract_batch(
        self, images: Sequence[Image], masks: Sequence[Image | None], batch_size: int
    ) -> list[Found]:
        """Return what `extract` would for each image; a GPU takes images of one size together.

        It takes `batch_size` at once. A smaller batch is filled up with black, so that its speed
        and its kernels, and with them the results, do not depend on how many came together.

        On a CPU the results are the same to the bit. On a GPU another batch size may choose other
        kernels, which differ by rounding.
        """
        if self.device.type == "cpu":  # eight at once take longer than eight after each other
            return [self.extract(image, mask) for image, mask in zip(images, masks, strict=True)]
        return self.extract_together(images, masks, batch_size)

    @torch.inference_mode()
    def extract_together(
        self, images: Sequence[Image], masks: Sequence[Image | None], batch_size: int
    ) -> list[Found]:
        """Do what `extract_batch` does, in batches of one size, equal shapes together."""
        found: dict[int, Found] = {}
        for shape in dict.fromkeys(image.shape for image in images):
            same = [i for i, image in enumerate(images) if image.shape == shape]
            size = min(batch_size, self._most_at_once(shape))
            for start in range(0, len(same), size):
                rows = same[start : start + size]
                results = self._run(
                    (size, *shape), [images[i] for i in rows], [masks[i] for i in rows]
                )
                found.update(zip(rows, results, strict=True))
        return [found[i] for i in range(len(images))]

    def _most_at_once(self, shape: tuple[int, ...]) -> int:
        """Return how many images of a shape (H, W) the widest layer can take."""
        return max(1, MAX_ELEMENTS // max(1, self._width * shape[0] * shape[1]))

    def compute(self, images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """Return the packed keypoints of images (B, H, W) uint8 on the device."""
        values = images.unsqueeze(1).to(self.dtype) * (1 / 255)
        return pack(find_in_octaves(self._network, values, masks, self.selection))

    def _run(
        self, shape: tuple[int, ...], images: Sequence[Image], masks: Sequence[Image | None]
    ) -> list[Found]:
        """Return the keypoints of at most B images, in a lane's slot of the shape (B, H, W).

        Raises:
            InputError: the network gives numbers that are not finite.
        """
        if 0 in shape:
            return [unpack(np.empty(0, np.float32), self.descriptor_length)] * len(images)
        lane = self._lanes.get()
        try:
            slot = lane.slots.pop(shape, None) or _Slot(self, lane, shape)
            found = slot.run(images, masks)
            lane.slots[shape] = slot  # at the end; after an exception it would not be taken again
            if len(lane.slots) > MAX_SLOTS:
                del lane.slots[next(iter(lane.slots))]
        finally:
            self._lanes.put(lane)
        if not all(np.isfinite(one.scores.sum() + one.descriptors.sum()) for one in found):
            precision = str(self.dtype).removeprefix("torch.")
            cure = ": set precision: bfloat16 or float32" if precision == "float16" else ""
            raise InputError(f"the weights of the network overflow in {precision}{cure}")
        return found


class _Lane:
    """The slots, by shape, that take turns on one stream; a thread has the lane to itself."""

    def __init__(self, device: torch.device) -> None:
        self.slots: dict[tuple[int, ...], _Slot] = {}
        self.stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]

    def as_current(self) -> AbstractContextManager[object]:
        """Return a context in which PyTorch computes and allocates on the stream."""
        return nullcontext() if self.stream is None else torch.cuda.stream(self.stream)

    def wait(self) -> None:
        """Return when all that was asked of the stream is done."""
        if self.stream is not None:
            self._done.record(self.stream)
            self._done.synchronize()

    def memory_pool(self) -> object:
        """Return the memory of the lane's graphs, None before the first.

        They may share it: they never run at once, and what one gave is read before the next runs.
        """
        graphs = (slot.graph for slot in self.slots.values())
        return next((graph.pool() for graph in graphs if graph is not None), None)


class _Slot:
    """Buffers for batches of one shape (B, H, W): filled, computed, read, then free again."""

    def __init__(self, extractor: Extractor, lane: _Lane, shape: tuple[int, ...]) -> None:
        self._extractor, self._lane = extractor, lane
        self._is_cuda = lane.stream is not None
        self._host_images = torch.zeros(shape, dtype=torch.uint8, pin_memory=self._is_cuda)
        self._host_masks = torch.ones(shape, dtype=torch.uint8, pin_memory=self._is_cuda)
        with lane.as_current():
            self._images = self._host_images.to(extractor.device, copy=True)
            self._masks = self._host_masks.to(extractor.device, copy=True)
        self._has_masks = False
        self._host_packed: torch.Tensor | None = None
        self._is_warm, self._may_record = False, self._is_cuda
        self.graph: torch.cuda.CUDAGraph | None = None

    def run(self, images: Sequence[Image], masks: Sequence[Image | None]) -> list[Found]:
        """Return the keypoints of at most B images."""
        had_masks, self._has_masks = self._has_masks, any(mask is not None for mask in masks)
        masks_change = had_masks or self._has_masks
        self._fill(images, masks if masks_change else [])
        with self._lane.as_current():
            self._images.copy_(self._host_images, non_blocking=True)
            if masks_change:
                self._masks.copy_(self._host_masks, non_blocking=True)
            packed = self._compute()
            if self._host_packed is None:
                self._host_packed = torch.empty(packed.shape, pin_memory=self._is_cuda)
            self._host_packed.copy_(packed, non_blocking=True)
        self._lane.wait()
        length = self._extractor.descriptor_length
        return [unpack(row, length) for row in self._host_packed.numpy()[: len(images)]]

    def _fill(self, images: Sequence[Image], masks: Sequence[Image | None]) -> None:
        """Write the images and masks into the buffers of the host; the rest is black and free."""
        host_images, host_masks = self._host_images.numpy(), self._host_masks.numpy()
        host_images[len(images) :] = 0
        for row, image in zip(host_images, images, strict=False):
            row[:] = image
        if masks:
            host_masks[len(masks) :] = 1
        for row, mask in zip(host_masks, masks, strict=False):
            row[:] = 1 if mask is None else mask

    def _compute(self) -> torch.Tensor:
        """Return the packed keypoints of the images and masks in the device's buffers.

        The second batch is recorded as a graph, so that a folder of pictures of many sizes does not
        pay for graphs that it never uses again. Handles and plans of libraries belong to a thread
        and a stream: the run before the recording, on both, is what makes them.
        """
        if self.graph is not None:
            self.graph.replay()
            return self._recorded
        packed = self._extractor.compute(self._images, self._masks)
        if self._is_warm and self._may_record and _RECORDING.acquire(blocking=False):
            try:
                self._record()
            finally:
                _RECORDING.release()
        self._is_warm = True
        return packed

    def _record(self) -> None:
        """Record the computation as a CUDA graph; where that fails, go on without, for good."""
        graph, pool = torch.cuda.CUDAGraph(), self._lane.memory_pool()
        try:
            # Other threads go on with their own streams meanwhile.
            with torch.cuda.graph(
                graph,
                pool=pool,  # type: ignore[arg-type]
                stream=self._lane.stream,
                capture_error_mode="thread_local",
            ):
                self._recorded = self._extractor.compute(self._images, self._masks)
        except RuntimeError as error:
            self._may_record = False
            reason = str(error).partition("\n")[0]
            warnings.warn(f"runs without a CUDA graph: {reason}", RuntimeWarning, stacklevel=2)
        else:
            self.graph = graph
