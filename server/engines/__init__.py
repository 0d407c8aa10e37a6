"""Engines by name; each module is imported only when its engine is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from server.engines.base import Engine
from server.engines.cuda import count_devices
from server.errors import NotFound
from server.settings import EngineSettings

ENGINES: Mapping[str, str] = MappingProxyType(
    {
        "fake": "server.engines.fake:FakeEngine",
        "onnx_rt": "server.engines.onnx_providers:OnnxProviders",
        "tensor_rt": "server.engines.tensor_rt:TensorRtEngine",
        "pytorch": "server.engines.pytorch_devices:TorchDevices",
    }
)
"""Name to ``module:class``. Each class has ``from_settings(settings) -> Engine``."""


def make_engine(settings: EngineSettings) -> Engine:
    """Return the engine that the settings name, loaded and warmed up; this can take seconds.

    Raises NotFound if the engine is unknown, its library is not installed or the artefact is
    missing, and BadInput if the engine cannot run the artefact.
    """
    if settings.name not in ENGINES:
        raise NotFound(f"There is no engine {settings.name!r}; choose from {', '.join(ENGINES)}.")
    module, _, name = ENGINES[settings.name].partition(":")
    try:
        kind = getattr(import_module(module), name)
    except ImportError as error:
        words = f"The engine {settings.name!r} needs a package; install it: {error}."
        raise NotFound(words) from error
    engine: Engine = kind.from_settings(settings)
    return engine


def each_device(settings: EngineSettings) -> list[EngineSettings]:
    """Return the settings of one engine per GPU, or of a single engine if no GPU is to serve.

    All but the first name their GPU, so that they do not fall back to the CPU.
    """
    if settings.devices != "auto":
        return [_on(settings, number) for number in settings.devices.split(",")]
    try:
        count = 1 if settings.provider == "cpu" else count_devices()
    except NotFound:
        count = 1
    return [settings, *(_on(settings, str(number)) for number in range(1, count))]


def _on(settings: EngineSettings, device: str) -> EngineSettings:
    return settings.model_copy(update={"devices": device})
