"""As much of the module ``tensorrt`` as the engine uses, without TensorRT and without a GPU.

A plan is an ONNX file here: ONNX Runtime computes it on the host, where a FakeCuda keeps its
memory, when that device's stream comes to it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from enum import Enum, auto
from math import prod
from types import MappingProxyType
from typing import Any
from weakref import ref

import numpy as np
import onnxruntime as ort
from fake_cuda import FakeCuda
from numpy.typing import NDArray

SCRATCH = 1024
"""Bytes that a context of the fake requests."""


TYPES: Mapping[str, Any] = MappingProxyType(
    {
        "tensor(uint8)": np.uint8,
        "tensor(int64)": np.int64,
        "tensor(float16)": np.float16,
        "tensor(float)": np.float32,
    }
)
"""ONNX Runtime's names of the types, and numpy's."""


class DataType(Enum):
    UINT8 = "tensor(uint8)"
    INT64 = "tensor(int64)"
    HALF = "tensor(float16)"
    FLOAT = "tensor(float)"


class TensorIOMode(Enum):
    INPUT = auto()
    OUTPUT = auto()


class ExecutionContextAllocationStrategy(Enum):
    STATIC = auto()
    USER_MANAGED = auto()


class Logger:
    WARNING = 2

    def __init__(self, min_severity: int) -> None:
        self.min_severity = min_severity


class FakeTensorRt:
    """The module, for plans that run on ``device``. ``profiles`` are the smallest and the largest
    batch of each of a plan's profiles."""

    __version__ = "11.4.0"
    DataType = DataType
    TensorIOMode = TensorIOMode
    ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy
    Logger = Logger

    def __init__(self, device: FakeCuda, profiles: tuple[tuple[int, int], ...] = ((1, 8),)) -> None:
        self._device = device
        self._profiles = profiles

    def Runtime(self, _: Any) -> FakeRuntime:  # noqa: N802  the module's own name
        return FakeRuntime(self._device, self._profiles)


class FakeRuntime:
    def __init__(self, device: FakeCuda, profiles: tuple[tuple[int, int], ...]) -> None:
        self.engine_host_code_allowed = False
        self._device = device
        self._profiles = profiles

    def deserialize_cuda_engine(self, plan: bytes) -> FakePlan | None:
        try:
            session = ort.InferenceSession(plan, providers=["CPUExecutionProvider"])
        except Exception:  # what TensorRT does: None, and the reason in its log
            return None
        return FakePlan(session, self._device, self._profiles)


class FakePlan:
    """An ICudaEngine."""

    device_memory_size_v2 = SCRATCH

    def __init__(
        self, session: Any, device: FakeCuda, profiles: tuple[tuple[int, int], ...]
    ) -> None:
        self._session = session
        self._device = device
        self._profiles = profiles
        self._inputs = {node.name: node for node in session.get_inputs()}
        self._outputs = {node.name: node for node in session.get_outputs()}
        self._nodes = self._inputs | self._outputs
        self.num_io_tensors = len(self._nodes)
        self.num_optimization_profiles = len(profiles)

    def get_tensor_name(self, index: int) -> str:
        names: list[str] = list(self._nodes)
        return names[index]

    def get_tensor_shape(self, name: str) -> list[int]:
        return [-1, *self._nodes[name].shape[1:]]

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType(self._nodes[name].type)

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[list[int]]:
        smallest, largest = self._profiles[profile_index]
        rest = self._nodes[name].shape[1:]
        return [[batch, *rest] for batch in (smallest, largest, largest)]

    def create_execution_context(self, strategy: ExecutionContextAllocationStrategy) -> FakeContext:
        assert strategy is ExecutionContextAllocationStrategy.USER_MANAGED
        return FakeContext(self._run, self._device, self._profiles)

    def _run(self, shapes: dict[str, tuple[int, ...]], addresses: dict[str, int]) -> None:
        """Read the inputs from their addresses and write the outputs to theirs."""
        given = {
            name: _array(addresses[name], shapes[name], self._inputs[name].type)
            for name in self._inputs
        }
        results = self._session.run(list(self._outputs), given)
        for name, result in zip(self._outputs, results, strict=True):
            ctypes.memmove(addresses[name], result.ctypes.data, result.nbytes)


class FakeContext:
    """An IExecutionContext. Like a real one it runs only with a profile, its memory, every shape
    and every address set, and must live when its work runs, recorded or not."""

    def __init__(
        self,
        run: Callable[[dict[str, tuple[int, ...]], dict[str, int]], None],
        device: FakeCuda,
        profiles: tuple[tuple[int, int], ...],
    ) -> None:
        self._run = run
        self._device = device
        self._profiles = profiles
        self._profile: tuple[int, int] | None = None
        self._memory = 0
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        assert stream_handle == self._device.stream
        self._profile = self._profiles[profile_index]
        return True

    def set_device_memory(self, memory: int, size: int) -> None:
        assert size >= SCRATCH
        self._memory = memory

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert self._profile, "a shape is checked against the profile"
        self._shapes[name] = shape
        return self._profile[0] <= shape[0] <= self._profile[1]

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert stream_handle == self._device.stream
        if not self._memory or not self._shapes:
            return False
        shapes, addresses, living = dict(self._shapes), dict(self._addresses), ref(self)

        def run() -> None:
            context = living()
            assert context, "the execution context was freed before its work ran"
            context._run(shapes, addresses)

        self._device.enqueue(run)
        return True


def _array(address: int, shape: tuple[int, ...], kind: str) -> NDArray[Any]:
    dtype = np.dtype(TYPES[kind])
    held = (ctypes.c_uint8 * (prod(shape) * dtype.itemsize)).from_address(address)
    array: NDArray[Any] = np.ctypeslib.as_array(held).view(dtype).reshape(shape)
    return array
