"""The one call of the CUDA driver that no installed library offers: waiting for FFmpeg's copies.

FFmpeg returns a surface while the copy into it still runs on the device's default stream; ONNX
Runtime's stream does not wait for that stream by itself.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

from server.errors import Fault

_LIBRARY = "libcuda.so.1"


class CudaDriver:
    """CUDA's driver API on the primary context of one device, which FFmpeg, ONNX Runtime and
    PyTorch share. Tests replace ``library``, libcuda. Raises Fault if there is no driver."""

    def __init__(self, device: int, library: Any = None) -> None:
        self._cuda = library or _load()
        ordinal = ctypes.c_int()
        self._context = ctypes.c_void_p()
        self._check(self._cuda.cuInit(0))
        self._check(self._cuda.cuDeviceGet(ctypes.byref(ordinal), device))
        self._check(self._cuda.cuDevicePrimaryCtxRetain(ctypes.byref(self._context), ordinal))

    def wait(self) -> None:
        """Wait until all work on the default stream is done. Raises Fault if the GPU failed."""
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
    """Return the driver of a device; contexts are kept until the process ends."""
    return CudaDriver(device)


def driver_installed() -> bool:
    """Return whether this machine has NVIDIA's driver, and thus possibly a GPU."""
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
