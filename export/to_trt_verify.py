"""Compare a plan with ONNX Runtime: run a clip through both, each with its own memory fed back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.comparing import TOLERANCES, Check, compare_clip
from export.graph import names
from export.runners import Arrays, Runner
from export.to_trt_build import PlanFailed
from export.to_trt_graph import TrtGraph
from export.verify import read_frames
from models.spec import ModelSpec


class PlanRunner:
    """A plan on ``device``: :meth:`step` computes the served graph on arrays.

    Raises PlanFailed if this TensorRT cannot read the plan.
    """

    def __init__(self, trt: Any, plan: bytes, spec: ModelSpec, device: str = "cuda") -> None:
        self.inputs, self.outputs = names(spec)
        self._trt = trt
        self._device = device
        runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
        runtime.engine_host_code_allowed = True  # a version compatible plan contains code
        self._engine = runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise PlanFailed("TensorRT cannot read the plan it built; see its log.")
        self._context = self._engine.create_execution_context()

    def step(self, held: Arrays) -> Arrays:
        given = [torch.from_numpy(array).to(self._device) for array in held]
        for name, tensor in zip(self.inputs, given, strict=True):
            self._must(self._context.set_input_shape(name, tuple(tensor.shape)), name)
        results = [self._allocate(name) for name in self.outputs]
        named = zip([*self.inputs, *self.outputs], [*given, *results], strict=True)
        for name, tensor in named:
            self._must(self._context.set_tensor_address(name, tensor.data_ptr()), name)
        self._run()
        return [tensor.cpu().numpy() for tensor in results]

    def _allocate(self, name: str) -> torch.Tensor:
        kind = self._trt.nptype(self._engine.get_tensor_dtype(name))
        shape = tuple(self._context.get_tensor_shape(name))
        return torch.from_numpy(np.empty(shape, kind)).to(self._device)

    def _run(self) -> None:
        """Run on a separate stream, since TensorRT synchronises more on the default one."""
        if self._device == "cpu":  # in tests
            self._must(self._context.execute_async_v3(0), "execute_async_v3")
            return
        stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        self._must(self._context.execute_async_v3(stream.cuda_stream), "execute_async_v3")
        stream.synchronize()

    def _must(self, done: bool, what: str) -> None:
        if not done:
            raise PlanFailed(f"TensorRT refused {what}; see its log.")


def verify_plan(
    runner: Any, graph: TrtGraph, frames: Sequence[NDArray[np.uint8]], against: Any = None
) -> Check:
    """Compare the plan in ``runner`` on a clip with ``against``, by default its own graph.

    ``frames`` are uint8 (H, W, 3).
    """
    reference = against or Runner(graph.content, graph.spec)
    tolerance = TOLERANCES["int8" if graph.precision == "fp8" else graph.precision]
    return compare_clip(runner, reference, graph.spec, frames, "ONNX Runtime", tolerance)


def verify_on(trt: Any, plan: bytes, graph: TrtGraph, clip: Path, count: int) -> Check:
    """Compare a plan with ONNX Runtime on the first ``count`` frames of a clip.

    Raises PlanFailed if TensorRT cannot run the plan, or the source's error for the clip.
    """
    frames = asyncio.run(read_frames(graph.spec, clip, count))
    return verify_plan(PlanRunner(trt, plan, graph.spec), graph, frames)
