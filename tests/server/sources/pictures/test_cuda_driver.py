"""The driver's calls, on a library that only records them."""

from __future__ import annotations

from typing import Any

import pytest

from server.errors import Fault
from server.sources.pictures.cuda_driver import CudaDriver


class Library:
    """libcuda: every function returns 0, or the code that ``failing`` names for it."""

    def __init__(self, **failing: int) -> None:
        self.failing = failing
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def call(*_: object) -> int:
            self.calls.append(name)
            return self.failing.get(name, 0)

        return call


def test_it_waits_in_the_devices_primary_context() -> None:
    library = Library()
    CudaDriver(0, library).wait()
    assert library.calls == [
        "cuInit", "cuDeviceGet", "cuDevicePrimaryCtxRetain",
        "cuCtxPushCurrent_v2", "cuStreamSynchronize", "cuCtxPopCurrent_v2",
    ]  # fmt: skip


def test_a_device_that_is_not_there_is_a_fault() -> None:
    with pytest.raises(Fault, match="CUDA error 101"):
        CudaDriver(7, Library(cuDeviceGet=101))


def test_a_lost_device_is_a_fault_and_the_context_is_given_back() -> None:
    library = Library(cuStreamSynchronize=719)
    with pytest.raises(Fault, match="CUDA error 719"):
        CudaDriver(0, library).wait()
    assert library.calls[-1] == "cuCtxPopCurrent_v2"
