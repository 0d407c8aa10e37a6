"""Runs the served graph (ONNX) on a GPU with ONNX Runtime's CUDA or TensorRT provider.

Inputs and outputs are bound to fixed addresses on the device and everything runs on the engine's
own stream, so ONNX Runtime neither copies nor waits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort

from models.spec import ModelSpec
from server.engines.buffers import Buffers
from server.engines.cuda import Device, Launch
from server.engines.device_engine import DeviceEngine, Program
from server.engines.host_memory import tensor_shapes
from server.engines.onnx_graph import CPU, check_graph, open_session, read_spec
from server.engines.onnx_rt import session_options
from server.errors import NotFound

CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"


class OnnxGpuEngine(DeviceEngine):
    """One model in one InferenceSession of ``provider`` (CUDA or TENSORRT) on ``device``.

    With TENSORRT the first start builds an engine, which takes minutes, and caches it in ``cache``,
    by default the model's folder. With CUDA and ``graphs`` the steps are replayed as CUDA graphs;
    not every graph can be recorded.

    Raises the same errors as OnnxEngine, and NotFound if ONNX Runtime lacks the provider or would
    run the model on another one; the device is not closed then.
    """

    def __init__(
        self,
        model: Path,
        device: Device,
        *,
        provider: str = CUDA,
        graphs: bool = True,
        max_batch: int = 4,
        cache: Path | None = None,
    ) -> None:
        spec = read_spec(model)
        options = _provider_options(provider, spec, device, max_batch, cache or model.parent)
        if provider == CUDA and graphs:
            options["enable_cuda_graph"] = "1"
        self.provider = provider
        session = _open(model, spec, provider, options)
        check_graph(spec, session)
        program = OnnxProgram(session, "cuda", device.ordinal)
        super().__init__(spec, device, program, max_batch)


class OnnxProgram(Program):
    """A session whose buffers are on a device of this ``kind`` ("cuda", "cpu") and ordinal."""

    def __init__(self, session: Any, kind: str, ordinal: int) -> None:
        self._session = session
        self._place = (kind, ordinal)

    def prepare(self, buffers: Buffers, batch: int) -> Launch:
        session, binding = self._session, self._bind(buffers, batch)
        options = ort.RunOptions()
        # The step itself waits, once; and each batch size has its own CUDA graph.
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        options.add_run_config_entry("gpu_graph_id", str(batch))
        return lambda: session.run_with_iobinding(binding, options)

    def close(self) -> None:
        self._session = None

    def _bind(self, buffers: Buffers, batch: int) -> Any:
        binding = self._session.io_binding()
        for ports, bind in (
            (buffers.inputs, binding.bind_input),
            (buffers.outputs, binding.bind_output),
        ):
            for port in ports:
                shape = (batch, *port.shape)
                bind(port.name, *self._place, port.dtype.type, shape, port.pointer)
        return binding


def _open(model: Path, spec: ModelSpec, provider: str, options: Mapping[str, str]) -> Any:
    """Return a session that runs on the provider."""
    if provider not in ort.get_available_providers():
        raise NotFound(
            f"This ONNX Runtime is built without {provider}: pip install 'mastream[gpu]'."
        )
    ort.preload_dlls()
    # CUDA runs the operators that TensorRT does not support.
    others = [(CUDA, _shared(options))] if provider == TENSORRT else []
    providers = [(provider, dict(options)), *others, CPU]
    session = open_session(model, session_options(spec, None), providers)
    served = session.get_providers()
    if served[0] != provider:
        raise NotFound(
            f"ONNX Runtime could not load {provider} and used {served[0]}; its log says why."
        )
    return session


def _provider_options(
    provider: str, spec: ModelSpec, device: Device, max_batch: int, cache: Path
) -> dict[str, str]:
    shared = {
        "device_id": str(device.ordinal),
        "has_user_compute_stream": "1",
        "user_compute_stream": str(device.stream),
    }
    if provider == CUDA:
        return shared
    return shared | {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(cache),
        "trt_profile_min_shapes": _profile(spec, 1),
        "trt_profile_opt_shapes": _profile(spec, max_batch),
        "trt_profile_max_shapes": _profile(spec, max_batch),
    }


def _shared(options: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in options.items() if not name.startswith("trt_")}


def _profile(spec: ModelSpec, batch: int) -> str:
    """Return every input's shape in the provider's format: ``name:1x16x24x3,...``."""
    return ",".join(
        f"{name}:{'x'.join(map(str, (batch, *shape)))}" for name, shape in _input_shapes(spec)
    )


def _input_shapes(spec: ModelSpec) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "frame", (spec.height, spec.width, 3)
    yield "count", ()
    yield from tensor_shapes(spec)
