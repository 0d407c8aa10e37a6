"""Runs the network itself in PyTorch on a GPU: half precision, channels last, one CUDA graph per
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
"""Runs before the recording, during which cuDNN chooses its kernels."""


class TorchGpuEngine(DeviceEngine):
    """One network on one GPU. ``model`` is a ``.pt`` or ``.onnx`` file of this project.

    Weights, activations and memories are float16; the picture is normalised in float32. bfloat16 is
    too coarse: queries and keys lie in 0..10 and need the digits that it lacks. Raises NotFound if
    the file or the GPU is missing, BadInput if the file is not such a file.
    """

    provider = "PyTorch cuda"

    def __init__(self, model: Path, *, ordinal: int = 0, max_batch: int = 4) -> None:
        if not torch.cuda.is_available():
            raise NotFound(
                f"PyTorch {torch.__version__} finds no GPU: install its CUDA build and the driver."
            )
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
        """The scratch memory shared by all graphs, of which only one runs at a time."""

    def prepare(self, buffers: Buffers, batch: int) -> Launch:
        return self.record(bind(self._network, self.view, buffers, batch))

    def close(self) -> None:
        self._network = None

    def view(self, port: Port, batch: int) -> Tensor:
        """Return the first ``batch`` streams of a port, as a view."""
        return torch.as_tensor(_OnDevice(port, batch), device=self._place)

    def record(self, step: Launch) -> Launch:
        """Return a launch of the CUDA graph of ``step``."""
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UPS):
                step()
        graph = torch.cuda.CUDAGraph()
        # Other engines of this process may allocate during the recording; only this thread may not.
        mode = "thread_local"
        with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode=mode):
            step()
        self._pool = graph.pool()

        def launch() -> None:
            with torch.cuda.stream(self._stream):
                graph.replay()

        return launch


class _OnDevice:
    """Memory that PyTorch did not allocate, described by the CUDA array interface."""

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
    """Return one step of the network on the buffers, which writes its results into them."""
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
