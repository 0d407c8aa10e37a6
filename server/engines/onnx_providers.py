"""ONNX Runtime's engine by the provider that runs it: TensorRT before CUDA before the CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from types import MappingProxyType

from server.engines.base import Engine
from server.engines.cuda import CudaDevice, Device
from server.engines.onnx_gpu import CUDA, TENSORRT, OnnxGpuEngine
from server.engines.onnx_graph import shipped_model
from server.engines.onnx_rt import OnnxEngine
from server.errors import MastreamError, NotFound
from server.settings import EngineSettings

GPU_PROVIDERS: Mapping[str, str] = MappingProxyType({"tensorrt": TENSORRT, "cuda": CUDA})
"""What the settings call a provider, and what ONNX Runtime does; the first is preferred."""

OpenDevice = Callable[[int], Device]


class OnnxProviders:
    """The row ``onnx_rt``: not an engine itself, it chooses one."""

    @classmethod
    def from_settings(cls, settings: EngineSettings) -> Engine:
        return choose(settings)


def choose(settings: EngineSettings, open_device: OpenDevice = CudaDevice) -> Engine:
    """The first provider that works of those that the settings allow.

    What was preferred and did not work is written in the engine's ``passed_over``. Raises
    NotFound with those reasons where a GPU was asked for and none serves.
    """
    passed_over: list[str] = []
    if settings.provider != "cpu":
        for name in _wanted(settings):
            try:
                return _told(_on_gpu(settings, name, open_device), passed_over)
            except MastreamError as error:
                passed_over.append(f"{name}: {error}")
    if settings.needs_gpu:
        raise NotFound(f"the model was to run on a GPU, and does not. {'. '.join(passed_over)}")
    return _told(OnnxEngine.from_settings(settings), passed_over)


def _wanted(settings: EngineSettings) -> list[str]:
    return [name for name in GPU_PROVIDERS if settings.provider in ("auto", name)]


def _on_gpu(settings: EngineSettings, name: str, open_device: OpenDevice) -> Engine:
    device = open_device(settings.device)
    try:
        if name == "tensorrt":
            with suppress(ImportError):  # brings libnvinfer, which the provider looks for
                import_module("tensorrt")
        return OnnxGpuEngine(
            settings.model or shipped_model(),
            device,
            provider=GPU_PROVIDERS[name],
            max_batch=settings.max_batch,
            cache=settings.cache,
        )
    except BaseException:
        device.close()
        raise


def _told(engine: Engine, passed_over: list[str]) -> Engine:
    engine.passed_over = (*passed_over, *engine.passed_over)
    return engine
