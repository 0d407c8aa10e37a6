"""Runs the served graph (ONNX) with ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.spec import ModelSpec
from server.engines import host_memory
from server.engines.base import Engine, SavedMemory, check_batch
from server.engines.host_memory import HostMemory, memory_type, tensor_shapes
from server.engines.onnx_graph import (
    CPU,
    check_graph,
    open_session,
    read_spec,
    shipped_model,
    silent_options,
)
from server.engines.warming import warm_up
from server.errors import EngineDead, EngineFault
from server.frame import AnyPixels, Labels, host_pixels
from server.settings import EngineSettings


class OnnxEngine(Engine):
    """One model in one InferenceSession. A step that has begun cannot be interrupted.

    ``model`` is a file with the served graph and, under the metadata key ``mastream``, its
    ModelSpec. ``threads`` is the number of compute threads; None: one per core. Every batch size
    from 1 to ``max_batch`` is warmed up when the engine is made.

    Raises NotFound if the file is missing, BadInput if it is not ONNX, has no valid spec or is not
    the served graph, and EngineFault if the warm-up fails.
    """

    provider = CPU

    def __init__(self, model: Path, *, max_batch: int = 4, threads: int | None = None) -> None:
        self.spec = read_spec(model)
        self.max_batch = max_batch
        self._session = open_session(model, session_options(self.spec, threads))
        check_graph(self.spec, self._session)
        self._dtype = memory_type(self.spec)
        self._names = [name for name, _ in tensor_shapes(self.spec)]
        self._outputs = ["mask", "count_out", *(f"{name}_out" for name in self._names)]
        self._blank = host_memory.blank(self.spec, self._dtype)
        self.step_seconds = warm_up(self, range(1, max_batch + 1))

    @classmethod
    def from_settings(cls, settings: EngineSettings) -> Self:
        model = settings.model or shipped_model()
        return cls(model, max_batch=settings.max_batch, threads=settings.threads)

    def blank(self) -> HostMemory:
        return self._blank

    def step(
        self, frames: Sequence[AnyPixels], memories: Sequence[HostMemory]
    ) -> tuple[list[Labels], list[HostMemory]]:
        check_batch(self.spec, frames, memories)
        if self._session is None:
            raise EngineDead(f"The engine of {self.spec.name} is closed.")
        try:
            results = self._session.run(self._outputs, self._gather(frames, memories))
        except Exception as error:
            raise EngineFault(f"A step of {self.spec.name} failed: {error}") from error
        return _scatter(*results)

    def filled(self, memory: HostMemory) -> int:
        return memory.count

    def save(self, memory: HostMemory) -> SavedMemory:
        return host_memory.save(self.spec, memory)

    def restore(self, saved: SavedMemory) -> HostMemory:
        return host_memory.restore(self.spec, self._dtype, saved)

    def close(self) -> None:
        self._session = None

    def _gather(
        self, frames: Sequence[AnyPixels], memories: Sequence[HostMemory]
    ) -> dict[str, NDArray[Any]]:
        tensors = zip(*(memory.tensors for memory in memories), strict=True)
        return {
            "frame": _batched([host_pixels(frame) for frame in frames]),
            "count": np.array([memory.count for memory in memories], np.int64),
            **{name: _batched(held) for name, held in zip(self._names, tensors, strict=True)},
        }


def session_options(spec: ModelSpec, threads: int | None) -> ort.SessionOptions:
    options = silent_options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = True
    # Compute threads that spin between two steps would take the cores from the decoders.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if spec.unpacks_weights:
        # Unpacks the weights to float32 when loading; otherwise every step does it.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    return options


def _batched(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the arrays as one (B, ...); for one stream a view, so that nothing is copied."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def _scatter(
    masks: NDArray[Any], counts: NDArray[Any], *tensors: NDArray[Any]
) -> tuple[list[Labels], list[HostMemory]]:
    """Return each stream's part, as a copy so that no stream keeps the whole batch alive."""
    labels = [_part(masks, index) for index in range(len(masks))]
    memories = [
        HostMemory(int(count), tuple(_part(tensor, index) for tensor in tensors))
        for index, count in enumerate(counts)
    ]
    return labels, memories


def _part(batched: NDArray[Any], index: int) -> NDArray[Any]:
    part: NDArray[Any] = batched[index]
    return part if len(batched) == 1 else part.copy()
