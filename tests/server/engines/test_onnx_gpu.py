"""How a GPU is requested from ONNX Runtime, and how its answers are handled;
tests/server/test_engines.py tests the contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest
from fake_cuda import FakeCuda

from models.spec import ModelSpec
from server.engines import make_engine, onnx_gpu, onnx_providers
from server.engines.base import Engine
from server.engines.fake import FakeEngine, fake_spec
from server.engines.onnx_gpu import CUDA, TENSORRT, OnnxGpuEngine
from server.errors import BadInput, NotFound
from server.settings import EngineSettings

SPEC = replace(fake_spec(4, 6), memory_frames=2)
MODEL = Path("models/some.onnx")


class Session:
    """The request, and the providers that ONNX Runtime reports."""

    def __init__(self, asked: Sequence[Any], served: str) -> None:
        self.asked = asked
        self._served = served

    def get_providers(self) -> list[str]:
        return [self._served, "CPUExecutionProvider"]


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An ONNX Runtime built for GPUs that takes what it is asked for."""
    found = [TENSORRT, CUDA, "CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: found)
    monkeypatch.setattr(ort, "preload_dlls", lambda: None)
    answer(monkeypatch, lambda providers: Session(providers, providers[0][0]))
    return monkeypatch


def answer(patch: pytest.MonkeyPatch, make: Any) -> None:
    patch.setattr(onnx_gpu, "open_session", lambda _, __, providers: make(providers))


def opened(provider: str = CUDA, max_batch: int = 4) -> Any:
    options = onnx_gpu._provider_options(provider, SPEC, FakeCuda(1), max_batch, Path("cache"))
    return onnx_gpu._open(MODEL, SPEC, provider, options)


@pytest.mark.usefixtures("runtime")
def test_cuda_runs_on_our_stream() -> None:
    (name, options), cpu = opened().asked
    assert (name, cpu) == (CUDA, "CPUExecutionProvider")
    assert options == {
        "device_id": "1",
        "has_user_compute_stream": "1",
        "user_compute_stream": str(FakeCuda.stream),
    }


@pytest.mark.usefixtures("runtime")
def test_tensorrt_knows_every_shape_and_keeps_what_it_builds() -> None:
    (name, options), (other, shared), _ = opened(TENSORRT).asked
    assert (name, other) == (TENSORRT, CUDA)
    shapes = "memory_key_1:{0}x2x1x1,memory_value_1:{0}x2x1x2"
    assert options["trt_profile_min_shapes"] == "frame:1x4x6x3,count:1," + shapes.format(1)
    assert options["trt_profile_max_shapes"] == "frame:4x4x6x3,count:4," + shapes.format(4)
    assert options["trt_engine_cache_path"] == "cache"
    assert shared.keys() == {"device_id", "has_user_compute_stream", "user_compute_stream"}


def test_steps_that_cannot_be_recorded_run_as_they_are_and_that_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bool] = []

    def make(*_: Any, graphs: bool, **__: Any) -> Engine:
        asked.append(graphs)
        if graphs:
            raise BadInput("a node is not on CUDA")
        return FakeEngine()

    monkeypatch.setattr(onnx_providers, "CudaDevice", FakeCuda)
    monkeypatch.setattr(onnx_providers, "OnnxGpuEngine", make)
    engine = make_engine(EngineSettings(provider="cuda"))
    assert asked == [True, False]
    assert engine.passed_over == ("CUDA graphs: a node is not on CUDA",)


@pytest.mark.parametrize(
    ("change", "asked"),
    [({}, CUDA), ({"plan": "off"}, TENSORRT), ({"provider": "tensorrt"}, TENSORRT)],
)
def test_where_a_plan_will_come_nobody_waits_for_another_build(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], asked: str
) -> None:
    def make(*_: Any, provider: str, **__: Any) -> Engine:
        engine = FakeEngine()
        engine.provider = provider
        return engine

    monkeypatch.setattr(onnx_providers, "CudaDevice", FakeCuda)
    monkeypatch.setattr(onnx_providers, "OnnxGpuEngine", make)
    assert make_engine(EngineSettings(**change)).provider == asked


@pytest.mark.parametrize(
    ("provider", "graphs", "asked"),
    [
        (CUDA, True, True),
        (CUDA, False, False),
        (TENSORRT, True, False),
    ],
)
def test_only_cuda_is_asked_for_graphs(
    monkeypatch: pytest.MonkeyPatch, provider: str, graphs: bool, asked: bool
) -> None:
    def refuse(_: Path, __: ModelSpec, ___: str, options: dict[str, str]) -> None:
        assert ("enable_cuda_graph" in options) is asked
        raise BadInput("seen enough")

    monkeypatch.setattr(onnx_gpu, "read_spec", lambda _: SPEC)
    monkeypatch.setattr(onnx_gpu, "_open", refuse)
    with pytest.raises(BadInput, match="seen enough"):
        OnnxGpuEngine(MODEL, FakeCuda(), provider=provider, graphs=graphs)


def test_a_silent_fall_to_the_cpu_is_an_error(runtime: pytest.MonkeyPatch) -> None:
    answer(runtime, lambda providers: Session(providers, "CPUExecutionProvider"))
    with pytest.raises(NotFound, match="used CPUExecutionProvider"):
        opened()


def test_an_onnx_runtime_without_the_provider_is_reported_with_what_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(NotFound, match=r"mastream\[gpu\]"):
        opened()


def test_without_a_gpu_the_reason_is_reported_and_asking_for_one_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(_: int) -> None:
        raise NotFound("no driver")

    monkeypatch.setattr("server.engines.onnx_providers.CudaDevice", none)
    with pytest.raises(NotFound, match=r"cuda: no driver; tensorrt: no driver"):
        make_engine(EngineSettings(devices="0"))
    with pytest.raises(NotFound, match=r"on one: cuda: no driver"):
        make_engine(EngineSettings(provider="cuda"))


def test_a_tensorrt_that_onnx_runtime_cannot_load_is_reported_before_anything_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(_: int) -> None:
        raise AssertionError("the GPU was opened")

    monkeypatch.setattr(onnx_providers, "CudaDevice", none)
    monkeypatch.setattr(onnx_providers, "version", lambda _: "11.4.0.106")
    with pytest.raises(NotFound, match=r"needs TensorRT 10, and 11\.4.*PROVIDER=auto"):
        make_engine(EngineSettings(provider="tensorrt"))


@pytest.mark.parametrize("installed", [None, "10.13.0"])
def test_a_tensorrt_that_fits_or_is_brought_by_hand_is_tried(installed: str | None) -> None:
    onnx_providers.check_tensorrt_fits(installed)
