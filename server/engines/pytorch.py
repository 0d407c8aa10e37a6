"""Runs the network itself in PyTorch on the CPU: for training's checkpoints, for artefacts that no
other runtime can run, and as the reference for the other engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import source
from models.memory import StageFifo
from models.segmenter import Memory, Segmenter
from models.spec import ModelSpec, SpecError
from server.engines import host_memory
from server.engines.base import Engine, SavedMemory, check_batch
from server.engines.host_memory import tensor_shapes
from server.engines.onnx_graph import shipped_model
from server.engines.warming import warm_up
from server.errors import BadInput, EngineDead, EngineFault, NotFound
from server.frame import AnyPixels, Labels, host_pixels
from server.settings import EngineSettings


@dataclass(frozen=True, slots=True, eq=False)
class TorchMemory:
    """One stream's FIFO; ``tensors`` are in the order of ``tensor_shapes``."""

    count: int
    tensors: tuple[Tensor, ...]


class TorchEngine(Engine):
    """One network. ``model`` is a ``.pt`` or ``.onnx`` file of this project.

    Raises NotFound if the file is missing, BadInput if it is not such a file.
    """

    provider = "PyTorch cpu"

    def __init__(self, model: Path, *, max_batch: int = 4, threads: int | None = None) -> None:
        if threads:
            torch.set_num_threads(threads)
        self.max_batch = max_batch
        network, self.spec = load_network(model)
        self._network: Segmenter | None = network.to(
            memory_format=torch.channels_last,  # type: ignore[call-overload]  # not in the stubs
        )
        saved = {name: np.zeros(shape, np.float32) for name, shape in tensor_shapes(self.spec)}
        self._blank = self.restore({"count": np.array(0), **saved})
        self.step_seconds = warm_up(self, [1])

    @classmethod
    def from_settings(cls, settings: EngineSettings) -> Self:
        model = settings.model or shipped_model()
        return cls(model, max_batch=settings.max_batch, threads=settings.threads)

    def blank(self) -> TorchMemory:
        return self._blank

    @torch.inference_mode()
    def step(
        self, frames: Sequence[AnyPixels], memories: Sequence[TorchMemory]
    ) -> tuple[list[Labels], list[TorchMemory]]:
        check_batch(self.spec, frames, memories)
        if self._network is None:
            raise EngineDead(f"The engine of {self.spec.name} is closed.")
        try:
            masks, kept = self._network.step(self._upload(frames), self._gather(memories))
        except RuntimeError as error:
            raise EngineFault(f"A step of {self.spec.name} failed: {error}") from error
        return list(masks.numpy()), _scatter(kept)

    def filled(self, memory: TorchMemory) -> int:
        return memory.count

    def save(self, memory: TorchMemory) -> SavedMemory:
        names = (name for name, _ in tensor_shapes(self.spec))
        held = {n: t.numpy().copy() for n, t in zip(names, memory.tensors, strict=True)}
        return {"count": np.array(memory.count, np.int64), **held}

    def restore(self, saved: SavedMemory) -> TorchMemory:
        checked = host_memory.restore(self.spec, np.float32, saved)
        tensors = tuple(torch.from_numpy(np.array(t)) for t in checked.tensors)
        return TorchMemory(checked.count, tensors)

    def close(self) -> None:
        self._network = None

    def _upload(self, frames: Sequence[AnyPixels]) -> Tensor:
        return torch.from_numpy(np.stack([host_pixels(frame) for frame in frames]))

    def _gather(self, memories: Sequence[TorchMemory]) -> Memory:
        counts = torch.tensor([m.count for m in memories])
        held = [torch.stack(of) for of in zip(*(m.tensors for m in memories), strict=True)]
        return Memory(counts, tuple(map(StageFifo, held[0::2], held[1::2])))


def load_network(model: Path) -> tuple[Segmenter, ModelSpec]:
    """Return network and spec, in float32. Raises NotFound and BadInput as TorchEngine does."""
    if not model.is_file():
        raise NotFound(f"There is no model file {model}; check the path.")
    try:
        network, _, spec = source.load(model)
    except (SpecError, ValueError, OSError) as error:
        raise BadInput(str(error)) from error
    # The file may hold an fp16 graph; here its weights compute in float32.
    return network.eval(), replace(spec, precision="fp32")


def _scatter(kept: Memory) -> list[TorchMemory]:
    """Return each stream's part, as a copy so that no stream keeps the whole batch alive."""
    tensors: list[Any] = [tensor for fifo in kept.fifos for tensor in fifo]
    counts: NDArray[Any] = kept.count.numpy()
    return [
        TorchMemory(int(count), tuple(tensor[index].clone() for tensor in tensors))
        for index, count in enumerate(counts)
    ]
