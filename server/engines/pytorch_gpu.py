"""The network itself in PyTorch on a GPU: half precision, channels last, a CUDA graph for each
batch size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.memory import StageFifo
from models.segmenter import Memory, Segmenter
from server.engines.buffers import Buffers, Port
from server.engines.cuda import CudaDevice, Device, Launch, closed_on_error
from server.engines.device_engine import DeviceEngine, Program
from server.engines.pytorch import load_network
from server.errors import NotFound

WARM_UPS = 3
"""Runs before one is recorded: cuDNN chooses its kernels in them."""


class TorchGpuEngine(DeviceEngine):
    """One network on one GPU. ``model`` is a ``.pt`` or an ``.onnx`` of ours.

    Weights, activations and memories are float16, the picture is normalised in float32; bfloat16
    would not do: queries and keys lie in 0..10 and need its missing digits. Raises NotFound where
    the file or the GPU is absent, BadInput where the file is not ours.
    """

    provider = "PyTorch cuda"

    def __init__(self, model: Path, *, ordinal: int = 0, max_batch: int = 4) -> None:
        if not torch.cuda.is_available():
            raise NotFound(f"this PyTorch ({torch.__version__}) finds no GPU")
        network, spec = load_network(model)
        network.to_half()
        with closed_on_error(CudaDevice(ordinal)) as device:
            program = TorchProgram(network, device)
            super().__init__(replace(spec, precision="fp16"), device, program, max_batch)


class TorchProgram(Program):
    """A network whose inputs and outputs are views of the engine's buffers."""

    def __init__(self, network: Segmenter, device: Device) -> None:
        self._place = torch.device("cuda", device.ordinal)
        self._network: Segmenter | None = network.to(
            self._place,
            memory_format=torch.channels_last,  # type: ignore[call-overload]  # not in the stubs
        )
        self._stream = torch.cuda.ExternalStream(  # type: ignore[no-untyped-call]
            device.stream, self._place
        )
        self._pool: Any = None
        """The scratch memory that all graphs share, as they never run at once."""

    def prepare(self, buffers: Buffers, batch: int) -> Launch:
        return self.record(bind(self._network, self.view, buffers, batch))

    def close(self) -> None:
        self._network = None

    def view(self, port: Port, batch: int) -> Tensor:
        """The first ``batch`` streams of a port, where they are."""
        return torch.as_tensor(_OnDevice(port, batch), device=self._place)

    def record(self, step: Launch) -> Launch:
        """A CUDA graph of ``step``."""
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UPS):
                step()
        graph = torch.cuda.CUDAGraph()
        # Other engines of this process may allocate meanwhile: only this thread must not.
        mode = "thread_local"
        with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode=mode):
            step()
        self._pool = graph.pool()

        def launch() -> None:
            with torch.cuda.stream(self._stream):
                graph.replay()

        return launch


class _OnDevice:
    """Memory that PyTorch did not allocate, told to it by Numba's protocol."""

    def __init__(self, port: Port, batch: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (batch, *port.shape),
            "typestr": port.dtype.str,
            "data": (port.pointer, False),
            "version": 2,
        }


def bind(
    network: Segmenter | None, view: Callable[[Port, int], Tensor], buffers: Buffers, batch: int
) -> Launch:
    """One step of the network on the buffers, its results written into them."""
    assert network, "a closed program prepares nothing"
    frame, count, *held = (view(port, batch) for port in buffers.inputs)
    outputs = [view(port, batch) for port in buffers.outputs]
    memory = Memory(count, tuple(map(StageFifo, held[0::2], held[1::2])))

    @torch.inference_mode()
    def step() -> None:
        masks, kept = network.step(frame, memory)
        results = (masks, kept.count, *(tensor for fifo in kept.fifos for tensor in fifo))
        for output, result in zip(outputs, results, strict=True):
            output.copy_(result)

    return step
