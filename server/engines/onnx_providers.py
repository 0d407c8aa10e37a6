"""The choice of ONNX Runtime's engine by provider: those on a GPU before the CPU.

If the service may switch to a TensorRT plan (EngineSettings.plan), CUDA comes first: ONNX Runtime's
own TensorRT provider would build for minutes before it serves.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from server.engines.base import Engine
from server.engines.choosing import first_that_works
from server.engines.cuda import CudaDevice, closed_on_error
from server.engines.onnx_gpu import CUDA, TENSORRT, OnnxGpuEngine
from server.engines.onnx_graph import shipped_model
from server.engines.onnx_rt import OnnxEngine
from server.errors import BadInput, EngineFault, NotFound
from server.settings import EngineSettings

PROVIDER_TENSORRT = "10"
"""The version of TensorRT that onnxruntime-gpu is built for, 1.31 included."""


class OnnxProviders:
    """The row ``onnx_rt``: it is not an engine itself but chooses one."""

    @classmethod
    def from_settings(cls, settings: EngineSettings) -> Engine:
        on_gpu = [
            ("tensorrt", partial(_on_tensorrt, settings)),
            ("cuda", partial(_on_cuda, settings)),
        ]
        if settings.plan != "off":
            on_gpu.reverse()
        return first_that_works(settings, on_gpu, partial(OnnxEngine.from_settings, settings))


def _on_tensorrt(settings: EngineSettings) -> Engine:
    check_tensorrt_fits(_installed_tensorrt())
    with suppress(ImportError):  # loads libnvinfer, which the provider needs
        import_module("tensorrt")
    return _on_gpu(settings, TENSORRT)


def check_tensorrt_fits(installed: str | None) -> None:
    """Raise NotFound if ONNX Runtime cannot load the installed TensorRT: its provider is linked to
    libnvinfer.so.10."""
    if installed is not None and installed.partition(".")[0] != PROVIDER_TENSORRT:
        raise NotFound(
            f"ONNX Runtime's TensorRT provider needs TensorRT {PROVIDER_TENSORRT}, and {installed} "
            "is installed; set MASTREAM_ENGINE__PROVIDER=auto, which switches to a TensorRT plan "
            "without ONNX Runtime, or serve a plan with MASTREAM_ENGINE__NAME=tensor_rt."
        )


def _installed_tensorrt() -> str | None:
    with suppress(PackageNotFoundError):
        return version("tensorrt")
    return None


def _on_cuda(settings: EngineSettings) -> Engine:
    try:
        return _on_gpu(settings, CUDA)
    except (BadInput, EngineFault) as error:
        engine = _on_gpu(settings, CUDA, graphs=False)
        engine.passed_over = (f"CUDA graphs: {error}",)
        return engine


def _on_gpu(settings: EngineSettings, provider: str, *, graphs: bool = True) -> Engine:
    with closed_on_error(CudaDevice(settings.device)) as device:
        return OnnxGpuEngine(
            settings.model or shipped_model(),
            device,
            provider=provider,
            graphs=graphs,
            max_batch=settings.max_batch,
            cache=settings.cache,
        )
