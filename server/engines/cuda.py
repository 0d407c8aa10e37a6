"""One CUDA device as the engines use it: memory, copies, one stream, recorded launches.

:class:`CudaDevice` is the real one, over NVIDIA's ``cuda-bindings``;
:class:`fake_cuda.FakeCuda` stands beside it and needs no GPU.
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
"""Puts work on the device's stream and returns at once."""

ALIGNMENT = 256
"""Bytes to which CUDA aligns what it allocates; kernels read such addresses fastest."""

SUCCESS = 0
OUT_OF_MEMORY = 2


class Device(ABC):
    """One device and one stream of it, not the default one; all copies and launches go there, in
    order, and are done when :meth:`synchronise` returns. One thread uses it at a time.

    Every method raises EngineFault where memory is short and EngineDead where the device is lost.
    """

    ordinal: int
    name: str
    capability: str
    """The compute capability, such as ``9.0``."""
    stream: int
    """The stream's handle, as TensorRT, ONNX Runtime and PyTorch take it."""

    @abstractmethod
    def activate(self) -> None:
        """Make it the calling thread's device; the other methods need that."""

    @abstractmethod
    def allocate(self, nbytes: int) -> int:
        """The address of fresh memory, aligned to ALIGNMENT; its content is undefined."""

    @abstractmethod
    def free(self, pointer: int) -> None:
        """Give back what :meth:`allocate` gave; waits for what runs on the device."""

    @abstractmethod
    def pin(self, nbytes: int) -> NDArray[np.uint8]:
        """Host memory that copies reach without detour; it lives until :meth:`close`."""

    @abstractmethod
    def copy(self, to: int, source: int, nbytes: int) -> None:
        """Copy between any two addresses, of the host or a device. The host's must be pinned."""

    @abstractmethod
    def clear(self, pointer: int, nbytes: int) -> None:
        """Fill with zeros."""

    @abstractmethod
    def synchronise(self) -> None:
        """Wait for everything that was put on the stream."""

    @abstractmethod
    def record(self, launch: Launch) -> Launch:
        """A CUDA graph of what ``launch`` puts on the stream: it repeats exactly that, at the
        same addresses. ``launch`` must have run once before."""

    @abstractmethod
    def close(self) -> None:
        """Free everything that was allocated, pinned or recorded. Twice is harmless."""


class CudaDevice(Device):
    """The GPU that CUDA numbers ``ordinal``. ``runtime`` stands in for cuda.bindings.runtime.

    Raises NotFound where there is no such GPU, no driver or no cuda-bindings.
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
        # The direction follows from the addresses: 64-bit CUDA has one address space for all.
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
        # Of a device that is lost nothing can be given back: each call fails, and that is fine.
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
        """Call the runtime and return the one value it gives, if it gives one."""
        return _value(self.ordinal, name, getattr(self._cuda, name)(*arguments))


@contextmanager
def closed_on_error(device: Device) -> Iterator[Device]:
    """The device, closed where what is made of it fails."""
    try:
        yield device
    except BaseException:
        device.close()
        raise


def load_runtime() -> Any:
    """NVIDIA's bindings of the CUDA runtime. Raises NotFound where they are not installed."""
    try:
        from cuda.bindings import runtime  # noqa: PLC0415  only who asks for a GPU needs them
    except ImportError as error:
        raise NotFound(f"a GPU needs pip install 'mastream[gpu]' ({error})") from error
    return runtime


def count_devices(runtime: Any = None) -> int:
    """How many GPUs CUDA sees. Raises NotFound where it sees none, and says why."""
    cuda = runtime or load_runtime()
    code, count = cuda.cudaGetDeviceCount()
    if int(code) != SUCCESS or not count:
        why = "" if int(code) == SUCCESS else f" ({code.name})"
        raise NotFound(f"CUDA finds no GPU here{why}: it needs NVIDIA's driver and to be visible")
    return int(count)


def check_device(ordinal: int, runtime: Any = None) -> None:
    """Raises NotFound where CUDA sees no GPU of this number."""
    count = count_devices(runtime)
    if ordinal >= count:
        raise NotFound(f"there is no GPU {ordinal}; CUDA sees {count} here, counted from 0")


def describe_device(ordinal: int, runtime: Any = None) -> tuple[str, str]:
    """A GPU's name and its compute capability, such as ``9.0``; nothing is made on it.

    Raises as :class:`CudaDevice` does.
    """
    cuda = runtime or load_runtime()
    check_device(ordinal, cuda)
    told = cuda.cudaGetDeviceProperties(ordinal)
    properties = _value(ordinal, "cudaGetDeviceProperties", told)
    return properties.name.decode(), f"{properties.major}.{properties.minor}"


def use_device(ordinal: int, runtime: Any = None) -> None:
    """Make it the calling thread's device. Raises as :class:`CudaDevice` does."""
    cuda = runtime or load_runtime()
    check_device(ordinal, cuda)
    _value(ordinal, "cudaSetDevice", cuda.cudaSetDevice(ordinal))


def _value(ordinal: int, name: str, answer: tuple[Any, ...]) -> Any:
    """The one value that a call of the runtime gave, if it gave one."""
    code, *values = answer
    if int(code) == SUCCESS:
        return values[0] if values else None
    if int(code) == OUT_OF_MEMORY:
        raise EngineFault(f"the memory of GPU {ordinal} is full ({name})")
    raise EngineDead(f"GPU {ordinal} failed: {name} says {code.name}")
