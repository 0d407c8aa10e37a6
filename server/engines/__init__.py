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
    """The engine that the settings name, loaded and warmed up: this can take seconds.

    Raises NotFound for an unknown engine, one whose library is not installed or an artefact that
    is not there, BadInput for an artefact that this engine cannot run.
    """
    if settings.name not in ENGINES:
        raise NotFound(f"no engine is called {settings.name!r}; there are {', '.join(ENGINES)}")
    module, _, name = ENGINES[settings.name].partition(":")
    try:
        kind = getattr(import_module(module), name)
    except ImportError as error:
        raise NotFound(f"the engine {settings.name!r} needs a package: {error}") from error
    engine: Engine = kind.from_settings(settings)
    return engine


def each_device(settings: EngineSettings) -> list[EngineSettings]:
    """The settings of one engine for each GPU that is to serve; where none is seen, of one.

    Those after the first name their GPU, so that the CPU does not stand in for it.
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
