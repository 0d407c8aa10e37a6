"""The CUDA device: its fake is as lazy and as strict as a GPU, the real one calls what exists."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_cuda import FakeCuda, address

from server.engines.cuda import (
    CudaDevice,
    Device,
    closed_on_error,
    count_devices,
    describe_device,
    load_runtime,
    use_device,
)
from server.errors import EngineDead, EngineFault, NotFound


class Code(IntEnum):
    cudaSuccess = 0  # noqa: N815  CUDA's own names
    cudaErrorMemoryAllocation = 2  # noqa: N815
    cudaErrorNoDevice = 100  # noqa: N815
    cudaErrorIllegalAddress = 700  # noqa: N815


class Runtime:
    """cuda.bindings.runtime with one GPU: records the calls; ``answers`` says which fail."""

    cudaStreamNonBlocking = 1  # noqa: N815
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyDefault=4)  # noqa: N815
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)  # noqa: N815

    def __init__(self, **answers: Code) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.answers = answers
        self._room = np.zeros(4096, np.uint8)
        self._values: dict[str, Any] = {
            "cudaGetDeviceCount": 1,
            "cudaGetDeviceProperties": SimpleNamespace(name=b"NVIDIA H100", major=9, minor=0),
            "cudaStreamCreateWithFlags": 11,
            "cudaMalloc": 4096,
            "cudaMallocHost": address(self._room),
            "cudaStreamEndCapture": "graph",
            "cudaGraphInstantiate": "ready",
        }

    def __getattr__(self, name: str) -> Callable[..., tuple[Any, ...]]:
        if not name.startswith("cuda"):
            raise AttributeError(name)

        def call(*arguments: Any) -> tuple[Any, ...]:
            self.calls.append((name, arguments))
            code = self.answers.get(name, Code.cudaSuccess)
            value = (self._values[name],) if name in self._values else ()
            return code, *(value if code is Code.cudaSuccess else (None,) * len(value))

        return call

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


def use_everything(runtime: Runtime) -> None:
    """Every method of a device once."""
    device = CudaDevice(0, runtime)
    first, second = device.allocate(512), device.allocate(256)
    device.pin(64)
    device.clear(first, 512)
    device.copy(first, second, 256)
    device.record(lambda: device.copy(second, first, 256))()
    device.synchronise()
    device.free(first)
    device.close()
    device.close()


def test_the_real_bindings_have_what_is_called_and_take_as_many_arguments() -> None:
    real = pytest.importorskip("cuda.bindings.runtime")
    runtime = Runtime()
    use_everything(runtime)
    for name, arguments in runtime.calls:
        declared = re.match(rf"{name}\((.*?)\)", getattr(real, name).__doc__)
        assert declared, f"{name} does not say what it takes"
        names = [part for part in declared[1].split(",") if part.strip()]
        assert len(names) == len(arguments), f"{name}{arguments} for {declared[0]}"
    assert real.cudaMemcpyKind.cudaMemcpyDefault.value == 4
    assert real.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal.value == 1
    assert real.cudaStreamNonBlocking == 1
    assert real.cudaError_t.cudaErrorMemoryAllocation.value == Code.cudaErrorMemoryAllocation


def test_everything_is_given_back() -> None:
    runtime = Runtime()
    use_everything(runtime)
    times = runtime.names.count
    assert times("cudaMallocHost") == times("cudaFreeHost") == 1
    assert times("cudaGraphExecDestroy") == times("cudaStreamDestroy") == 1
    assert times("cudaGraphDestroy") == 1


def test_all_work_goes_to_a_stream_of_its_own() -> None:
    runtime = Runtime()
    use_everything(runtime)
    for name, arguments in runtime.calls:
        if name in ("cudaMemcpyAsync", "cudaMemsetAsync", "cudaGraphLaunch"):
            assert arguments[-1] == 11


def test_a_gpu_says_what_it_is() -> None:
    device = CudaDevice(0, Runtime())
    assert (device.ordinal, device.name, device.capability) == (0, "NVIDIA H100", "9.0")


def test_to_ask_what_it_is_or_to_choose_it_makes_nothing_on_it() -> None:
    runtime = Runtime()
    assert describe_device(0, runtime) == ("NVIDIA H100", "9.0")
    use_device(0, runtime)
    assert set(runtime.names) == {"cudaGetDeviceCount", "cudaGetDeviceProperties", "cudaSetDevice"}
    for ask in (describe_device, use_device):
        with pytest.raises(NotFound, match="no GPU 1; CUDA sees 1"):
            ask(1, runtime)
    lost = Runtime(cudaSetDevice=Code.cudaErrorIllegalAddress)
    with pytest.raises(EngineDead, match="cudaSetDevice returned cudaErrorIllegalAddress"):
        use_device(0, lost)


def test_a_full_device_is_a_fault_and_a_lost_one_is_death() -> None:
    full = CudaDevice(0, Runtime(cudaMalloc=Code.cudaErrorMemoryAllocation))
    with pytest.raises(EngineFault, match="GPU 0 is full") as caught:
        full.allocate(1)
    assert not isinstance(caught.value, EngineDead)
    lost = CudaDevice(0, Runtime(cudaStreamSynchronize=Code.cudaErrorIllegalAddress))
    with pytest.raises(EngineDead, match="cudaErrorIllegalAddress"):
        lost.synchronise()
    lost.close()


def test_a_launch_that_fails_while_it_is_recorded_ends_the_recording() -> None:
    runtime = Runtime()
    device = CudaDevice(0, runtime)
    with pytest.raises(ZeroDivisionError):
        device.record(lambda: print(1 // 0))
    assert runtime.names[-1] == "cudaStreamEndCapture"


def test_a_gpu_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound, match="no GPU 1; CUDA sees 1"):
        CudaDevice(1, Runtime())
    with pytest.raises(NotFound, match="cudaErrorNoDevice"):
        count_devices(Runtime(cudaGetDeviceCount=Code.cudaErrorNoDevice))


def test_missing_bindings_are_reported_with_what_brings_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cuda.bindings", None)
    with pytest.raises(NotFound, match=r"mastream\[gpu\]"):
        load_runtime()


def test_a_device_is_closed_where_what_is_made_of_it_fails() -> None:
    device = FakeCuda()
    device.allocate(8)
    with pytest.raises(ZeroDivisionError), closed_on_error(device):
        print(1 // 0)
    assert device.allocated == 0


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Device:
    if request.param == "fake":
        return FakeCuda()
    try:
        return CudaDevice(0)
    except NotFound as reason:
        pytest.skip(str(reason))


def test_bytes_go_to_the_device_and_come_back(device: Device) -> None:
    there, back = device.pin(256), device.pin(256)
    there[:] = np.arange(256, dtype=np.uint8)
    first, second = device.allocate(256), device.allocate(256)
    device.clear(second, 256)
    device.copy(first, address(there), 256)
    device.copy(second, first, 128)
    device.copy(address(back), second, 256)
    device.synchronise()
    np.testing.assert_array_equal(back, [*range(128), *[0] * 128])
    device.close()


def test_a_recorded_launch_repeats_what_it_did_with_what_lies_there_then(device: Device) -> None:
    host, back = device.pin(4), device.pin(4)
    pointer = device.allocate(4)

    def launch() -> None:
        device.copy(pointer, address(host), 4)
        device.copy(address(back), pointer, 4)

    launch()
    device.synchronise()
    replay = device.record(launch)
    host[:] = 9
    replay()
    device.synchronise()
    assert back.tolist() == [9, 9, 9, 9]
    device.close()


def test_the_fake_does_nothing_before_it_is_waited_for() -> None:
    device = FakeCuda()
    host = device.pin(1)
    host[:] = 1
    pointer = device.allocate(1)
    device.copy(pointer, address(host), 1)
    host[:] = 2
    device.copy(address(host), pointer, 1)
    device.synchronise()
    assert host[0] == 2


def test_the_fake_knows_where_its_memory_ends() -> None:
    device = FakeCuda(memory=1024)
    pointer = device.allocate(512)
    with pytest.raises(AssertionError, match="beyond its block"):
        device.clear(pointer, 513)
    with pytest.raises(EngineFault, match="full"):
        device.allocate(513)
