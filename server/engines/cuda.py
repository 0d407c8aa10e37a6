"""One CUDA device as the engines use it: memory, copies, one stream, recorded launches.

:class:`CudaDevice` uses NVIDIA's ``cuda-bindings``; the tests have a fake Device that needs no GPU.
"""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.errors import EngineDead, EngineFault, NotFound

Launch = Callable[[], None]
"""A call that enqueues work on the device's stream and returns at once."""

ALIGNMENT = 256
"""Bytes to which CUDA aligns its allocations; kernels read such addresses fastest."""

SUCCESS = 0
OUT_OF_MEMORY = 2


class Device(ABC):
    """One device with its own stream; one thread uses it at a time.

    All copies and launches are enqueued on that stream, in order, and are done when
    :meth:`synchronise` returns. Every method raises EngineFault if memory is short and EngineDead
    if the device is lost.
    """

    ordinal: int
    name: str
    capability: str
    """The compute capability, such as ``9.0``."""
    stream: int
    """The stream's handle for TensorRT, ONNX Runtime and PyTorch."""

    @abstractmethod
    def activate(self) -> None:
        """Make it the calling thread's current device, as the other methods require."""

    @abstractmethod
    def allocate(self, nbytes: int) -> int:
        """Return the address of new memory, aligned to ALIGNMENT; its content is undefined."""

    @abstractmethod
    def free(self, pointer: int) -> None:
        """Free what :meth:`allocate` returned; this waits for the work on the device."""

    @abstractmethod
    def pin(self, nbytes: int) -> NDArray[np.uint8]:
        """Return pinned host memory, which is copied directly; it lives until :meth:`close`."""

    @abstractmethod
    def copy(self, to: int, source: int, nbytes: int) -> None:
        """Copy between two addresses of the host or a device; host memory must be pinned."""

    @abstractmethod
    def clear(self, pointer: int, nbytes: int) -> None:
        """Fill memory with zeros."""

    @abstractmethod
    def synchronise(self) -> None:
        """Wait for all work enqueued on the stream."""

    @abstractmethod
    def record(self, launch: Launch) -> Launch:
        """Return a launch of the CUDA graph of what ``launch`` enqueues, at the same addresses.

        ``launch`` must have run once before.
        """

    @abstractmethod
    def close(self) -> None:
        """Free everything that was allocated, pinned or recorded. Idempotent."""


class CudaDevice(Device):
    """The GPU with CUDA's number ``ordinal``; tests replace ``runtime``, cuda.bindings.runtime.

    Raises NotFound if there is no such GPU, no driver or no cuda-bindings.
    """

    def __init__(self, ordinal: int = 0, runtime: Any = None) -> None:
        self._cuda = runtime or load_runtime()
        self.ordinal = ordinal
        self.name, self.capability = describe_device(ordinal, self._cuda)
        self.activate()
        self._stream = self._call("cudaStreamCreateWithFlags", self._cuda.cudaStreamNonBlocking)
        self.stream = int(self._stream)
        self._allocated: set[int] = set()
        self._pinned: list[int] = []
        self._graphs: list[Any] = []
        self._closed = False

    def activate(self) -> None:
        self._call("cudaSetDevice", self.ordinal)

    def allocate(self, nbytes: int) -> int:
        pointer = int(self._call("cudaMalloc", nbytes))
        self._allocated.add(pointer)
        return pointer

    def free(self, pointer: int) -> None:
        self._allocated.remove(pointer)
        self._call("cudaFree", pointer)

    def pin(self, nbytes: int) -> NDArray[np.uint8]:
        pointer = int(self._call("cudaMallocHost", nbytes))
        self._pinned.append(pointer)
        return np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(pointer))

    def copy(self, to: int, source: int, nbytes: int) -> None:
        # CUDA derives the direction from the addresses: host and devices share one address space.
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDefault
        self._call("cudaMemcpyAsync", to, source, nbytes, kind, self._stream)

    def clear(self, pointer: int, nbytes: int) -> None:
        self._call("cudaMemsetAsync", pointer, 0, nbytes, self._stream)

    def synchronise(self) -> None:
        self._call("cudaStreamSynchronize", self._stream)

    def record(self, launch: Launch) -> Launch:
        graph = self._capture(launch)
        try:
            ready = self._call("cudaGraphInstantiate", graph, 0)
        finally:
            self._call("cudaGraphDestroy", graph)
        self._graphs.append(ready)
        return lambda: self._call("cudaGraphLaunch", ready, self._stream)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # On a lost device each of these calls fails; then there is nothing left to free.
        self._cuda.cudaSetDevice(self.ordinal)
        self._cuda.cudaStreamSynchronize(self._stream)
        for graph in self._graphs:
            self._cuda.cudaGraphExecDestroy(graph)
        for pointer in self._allocated:
            self._cuda.cudaFree(pointer)
        for pointer in self._pinned:
            self._cuda.cudaFreeHost(pointer)
        self._cuda.cudaStreamDestroy(self._stream)

    def _capture(self, launch: Launch) -> Any:
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", self._stream, mode)
        try:
            launch()
        except BaseException:
            self._cuda.cudaStreamEndCapture(self._stream)
            raise
        return self._call("cudaStreamEndCapture", self._stream)

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call the runtime and return its result, None if there is none."""
        return _value(self.ordinal, name, getattr(self._cuda, name)(*arguments))


@contextmanager
def closed_on_error(device: Device) -> Iterator[Device]:
    """Yield the device, and close it if the block fails."""
    try:
        yield device
    except BaseException:
        device.close()
        raise


def load_runtime() -> Any:
    """Return NVIDIA's bindings of the CUDA runtime. Raises NotFound if they are not installed."""
    try:
        from cuda.bindings import runtime  # noqa: PLC0415  only needed on a GPU
    except ImportError as error:
        raise NotFound(f"A GPU needs pip install 'mastream[gpu]' ({error}).") from error
    return runtime


def count_devices(runtime: Any = None) -> int:
    """Return how many GPUs CUDA sees. Raises NotFound with the reason if it sees none."""
    cuda = runtime or load_runtime()
    code, count = cuda.cudaGetDeviceCount()
    if int(code) != SUCCESS or not count:
        why = "" if int(code) == SUCCESS else f" ({code.name})"
        raise NotFound(
            f"CUDA finds no GPU here{why}: install NVIDIA's driver and make the GPU visible."
        )
    return int(count)


def check_device(ordinal: int, runtime: Any = None) -> None:
    """Raise NotFound if CUDA sees no GPU with this number."""
    count = count_devices(runtime)
    if ordinal >= count:
        raise NotFound(f"There is no GPU {ordinal}; CUDA sees {count} here, numbered from 0.")


def describe_device(ordinal: int, runtime: Any = None) -> tuple[str, str]:
    """Return a GPU's name and its compute capability, such as ``9.0``, without creating a context.

    Raises NotFound as :class:`CudaDevice` does.
    """
    cuda = runtime or load_runtime()
    check_device(ordinal, cuda)
    answer = cuda.cudaGetDeviceProperties(ordinal)
    properties = _value(ordinal, "cudaGetDeviceProperties", answer)
    return properties.name.decode(), f"{properties.major}.{properties.minor}"


def use_device(ordinal: int, runtime: Any = None) -> None:
    """Make a GPU the calling thread's device. Raises NotFound as :class:`CudaDevice` does."""
    cuda = runtime or load_runtime()
    check_device(ordinal, cuda)
    _value(ordinal, "cudaSetDevice", cuda.cudaSetDevice(ordinal))


def _value(ordinal: int, name: str, answer: tuple[Any, ...]) -> Any:
    """Return the result of a call of the runtime, None if there is none."""
    code, *values = answer
    if int(code) == SUCCESS:
        return values[0] if values else None
    if int(code) == OUT_OF_MEMORY:
        raise EngineFault(f"The memory of GPU {ordinal} is full ({name}).")
    raise EngineDead(f"GPU {ordinal} failed: {name} returned {code.name}.")
