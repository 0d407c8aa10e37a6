"""Substitutes for TensorRT: a build with steps, and a plan that runs at addresses."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorrt_contract import Contract

from export import runners
from export.graph import names
from export.to_trt_graph import TrtGraph

SIZE = (64, 96)
"""Height and width of the little network's pictures."""


def pictures(count: int) -> list[NDArray[np.uint8]]:
    return list(np.random.default_rng(0).integers(0, 256, (count, *SIZE, 3), np.uint8))


def building(went_on: list[bool]) -> Callable[[Any, Any], bytes | None]:
    """Two steps, the second in two halves, reported as TensorRT reports them, until it is
    stopped."""

    def run(network: Any, config: Any) -> bytes | None:
        del network
        monitor = config.progress_monitor
        monitor.phase_start("build", None, 2)
        for name, step in (("build", 0), ("tactics", 0), ("build", 1)):
            if name == "tactics":
                monitor.phase_start("tactics", "build", 2)
            went_on.append(monitor.step_complete(name, step))
            if not went_on[-1]:
                return None
            if name == "tactics":
                monitor.phase_finish("tactics")
        monitor.phase_finish("build")
        return b"a plan"

    return run


class HostDevice:
    """A substitute for a GPU, at addresses of the host: a graph run by ONNX Runtime."""

    def __init__(self, contract: Contract, graph: TrtGraph, wrong: bool = False) -> None:
        trt = contract.bindings
        self.runner, self.wrong = runners.Runner(graph.content, graph.spec), wrong
        self.inputs, self.outputs = names(graph.spec)
        self.kinds = {"frame": np.uint8, "count": np.int64, "mask": np.uint8, "count_out": np.int64}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.pointers: dict[str, int] = {}
        half = {"mask": trt.DataType.UINT8, "count_out": trt.DataType.INT64}
        contract.answers |= {
            "ICudaEngine.get_tensor_dtype": lambda name: half.get(name, trt.DataType.HALF),
            "IExecutionContext.set_input_shape": self.set_shape,
            "IExecutionContext.get_tensor_shape": lambda name: self.shapes[name],
            "IExecutionContext.set_tensor_address": self.set_address,
            "IExecutionContext.execute_async_v3": self.execute,
        }

    def set_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        if name == "frame":
            self.shapes["mask"] = shape[:-1]
        else:
            self.shapes[f"{name}_out"] = shape
        return True

    def set_address(self, name: str, pointer: int) -> bool:
        self.pointers[name] = pointer
        return True

    def execute(self, stream: int) -> bool:
        del stream
        results = self.runner.step([self.array(name).copy() for name in self.inputs])
        for name, result in zip(self.outputs, results, strict=True):
            self.array(name)[...] = 0 if self.wrong and name == "memory_key_4_out" else result
        return True

    def array(self, name: str) -> NDArray[Any]:
        kind = np.dtype(self.kinds.get(name, np.float16))
        nbytes = int(np.prod(self.shapes[name])) * kind.itemsize
        raw = (ctypes.c_uint8 * nbytes).from_address(self.pointers[name])
        return np.ctypeslib.as_array(raw).view(kind).reshape(self.shapes[name])
