"""The one call of the CUDA driver that nothing else here offers: waiting for what FFmpeg began.

FFmpeg gives a surface out while the copy into it still runs on the device's default stream;
ONNX Runtime's stream does not wait for that one by itself.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

from server.errors import Fault

_LIBRARY = "libcuda.so.1"


class CudaDriver:
    """CUDA's driver API on the primary context of one device, the one that FFmpeg, ONNX Runtime
    and PyTorch all share. ``library`` stands in for libcuda. Raises Fault where there is none."""

    def __init__(self, device: int, library: Any = None) -> None:
        self._cuda = library or _load()
        ordinal = ctypes.c_int()
        self._context = ctypes.c_void_p()
        self._check(self._cuda.cuInit(0))
        self._check(self._cuda.cuDeviceGet(ctypes.byref(ordinal), device))
        self._check(self._cuda.cuDevicePrimaryCtxRetain(ctypes.byref(self._context), ordinal))

    def wait(self) -> None:
        """Return when all that was put on the default stream is done. Raises Fault."""
        self._check(self._cuda.cuCtxPushCurrent_v2(self._context))
        try:
            self._check(self._cuda.cuStreamSynchronize(None))
        finally:
            self._cuda.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))

    def _check(self, code: int) -> None:
        if code:
            raise Fault(f"The GPU failed while a video was decoded (CUDA error {code}).")


@lru_cache
def driver(device: int) -> CudaDriver:
    """The driver of a device; contexts are kept as long as the process lives."""
    return CudaDriver(device)


def driver_installed() -> bool:
    """Whether this machine has NVIDIA's driver, and so perhaps a GPU."""
    try:
        _load()
    except Fault:
        return False
    return True


def _load() -> Any:
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise Fault(f"There is no NVIDIA driver here ({_LIBRARY} cannot be loaded).") from error
