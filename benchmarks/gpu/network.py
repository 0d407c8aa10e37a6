"""The network as a server would run it in PyTorch: half precision, channels last, a CUDA graph for
each batch size, every stream's memory in a slot on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from models.build import Recipe, build
from models.layers import fold_norms

Forward = Callable[..., tuple[Tensor, ...]]


class Network:
    """Steps ``slots`` streams of (height, width) pictures together.

    Before :meth:`step`, put the batch's pictures into ``frames`` (batch, H, W, 3) and their slots'
    numbers into ``index``; afterwards its masks are in ``masks``. One extra slot, ``spare``, fills
    up incomplete batches.
    """

    def __init__(
        self,
        recipe: Recipe,
        size: tuple[int, int],
        device: torch.device,
        dtype: torch.dtype,
        *,
        slots: int,
        batches: Sequence[int],
        compiled: bool = False,
    ) -> None:
        self.batches = tuple(sorted(batches))
        self.spare = slots
        self.device = device
        self._forward = _forward(recipe, device, dtype, compiled)
        most, (height, width) = self.batches[-1], size
        self.frames = torch.randint(
            0, 256, (most, height, width, 3), dtype=torch.uint8, device=device
        )
        self.masks = torch.zeros(most, height, width, dtype=torch.uint8, device=device)
        self.index = torch.arange(most, device=device) % (slots + 1)
        self._held = _blank(recipe, size, slots + 1, device, dtype)
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None

    def prepare(self, batch: int) -> None:
        """Capture a CUDA graph of this batch size; on a CPU, do nothing."""
        if self.device.type == "cuda" and batch not in self._graphs:
            self._graphs[batch] = self._capture(batch)

    def step(self, batch: int) -> None:
        """Segment ``frames[:batch]``; return before the device is done."""
        graph = self._graphs.get(batch)
        if graph is None:
            self._step(batch)
        else:
            graph.replay()

    @torch.inference_mode()
    def _step(self, batch: int) -> None:
        index = self.index[:batch]
        mask, *kept = self._forward(self.frames[:batch], *(held[index] for held in self._held))
        self.masks[:batch].copy_(mask)
        for held, new in zip(self._held, kept, strict=True):
            held.index_copy_(0, index, new)

    def _capture(self, batch: int) -> torch.cuda.CUDAGraph:
        # Kernels are chosen and workspaces allocated here, because a capture allows neither.
        side = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side):
            for _ in range(3):
                self._step(batch)
        torch.cuda.current_stream(self.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            self._step(batch)
        return graph


def _forward(recipe: Recipe, device: torch.device, dtype: torch.dtype, compiled: bool) -> Forward:
    """Return the served graph with random weights, which cost the same as trained ones."""
    network = build(recipe).eval()
    fold_norms(network)
    if dtype is torch.float16:
        network.to_half()
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stubs
    if compiled:
        # The default mode, since a search for the best kernels takes minutes per batch size.
        return torch.compile(network.forward, dynamic=False)
    return network.forward


def _blank(
    recipe: Recipe, size: tuple[int, int], slots: int, device: torch.device, dtype: torch.dtype
) -> list[Tensor]:
    """Return full memories of zeros, in the served graph's order: counts, keys, values."""
    with torch.device("meta"):
        memory = build(recipe).encoder.blank(slots, *size, torch.zeros(1, dtype=dtype))
    tensors = [*(f.key for f in memory.fifos), *(f.value for f in memory.fifos)]
    frames = tensors[0].shape[1] if tensors else 0
    counts = torch.full((slots,), frames, dtype=torch.int64, device=device)
    return [counts, *(torch.zeros(t.shape, dtype=dtype, device=device) for t in tensors)]
