"""The limits of the machine, measured in the same run: a lower bound for the time of a step."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.timing import measure
from models.build import Recipe, build


@dataclass(frozen=True)
class Machine:
    """``flops`` is floating-point operations per second of matrix products in ``dtype``;
    ``bandwidth`` is bytes per second read plus written by a copy on the device."""

    name: str
    torch: str
    dtype: str
    flops: float
    bandwidth: float


@dataclass(frozen=True)
class Work:
    """The least work of one frame: operations, and bytes that any implementation must move (memory
    in and out, frame, mask); ``weights`` bytes move once per step."""

    operations: float
    moved: float
    weights: float

    def floor(self, machine: Machine, batch: int) -> float:
        """Return the least seconds that this machine needs for a step of ``batch`` frames."""
        moved = self.weights + batch * self.moved
        return max(batch * self.operations / machine.flops, moved / machine.bandwidth)


def survey(device: torch.device, dtype: torch.dtype, seconds: float, tiny: bool) -> Machine:
    """Measure the device with a square matrix product and a copy, both far larger than caches."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    side, megabytes = (256, 4) if tiny else (8192, 1024)
    return Machine(
        name or platform.machine(),
        torch.__version__,
        str(dtype).removeprefix("torch."),
        _matrix_rate(device, dtype, side, seconds),
        _copy_rate(device, megabytes * 2**20, seconds),
    )


def work(recipe: Recipe, size: tuple[int, int], dtype: torch.dtype) -> Work:
    """Count the work on the meta device, where nothing is computed."""
    height, width = size
    with torch.device("meta"), torch.inference_mode():
        network = build(recipe).eval()
        frame = torch.zeros(1, height, width, 3, dtype=torch.uint8)
        memory = network.encoder.blank(1, height, width, torch.zeros(1))
        keys, values = [f.key for f in memory.fifos], [f.value for f in memory.fifos]
        with FlopCounterMode(display=False) as counter:
            network(frame, memory.count, *keys, *values)
    memory_bytes = sum(tensor.numel() for tensor in keys + values) * dtype.itemsize
    weights = sum(p.numel() for p in network.parameters()) * dtype.itemsize
    moved = 2 * memory_bytes + frame.numel() + height * width
    return Work(counter.get_total_flops(), moved, weights)


def _matrix_rate(device: torch.device, dtype: torch.dtype, side: int, seconds: float) -> float:
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(a)

    def multiply() -> None:
        torch.matmul(a, b, out=out)

    return 2 * side**3 * measure(multiply, device, 1, seconds).fps


def _copy_rate(device: torch.device, size: int, seconds: float) -> float:
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)

    return 2 * size * measure(copy, device, 1, seconds).fps
