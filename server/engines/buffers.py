"""The addresses of a graph's inputs and outputs on the device, fixed for an engine's lifetime so
that recorded launches stay valid."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from models.spec import ModelSpec
from server.engines.cuda import Device
from server.engines.host_memory import memory_type, tensor_shapes


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output: its shape for one stream, its type, and the address of stream 0.

    The other streams follow without gaps, so batches of all sizes begin at the same address.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pointer: int

    @property
    def nbytes(self) -> int:
        """Return the bytes of one stream."""
        return prod(self.shape) * self.dtype.itemsize

    def at(self, slot: int) -> int:
        """Return the address of the stream in this slot."""
        return self.pointer + slot * self.nbytes


@dataclass(frozen=True, slots=True)
class Buffers:
    """The served graph's ports. ``memory`` and ``memory_out`` are in the order of
    :func:`server.engines.host_memory.tensor_shapes`."""

    frame: Port
    count: Port
    memory: tuple[Port, ...]
    mask: Port
    count_out: Port
    memory_out: tuple[Port, ...]

    @property
    def inputs(self) -> tuple[Port, ...]:
        return (self.frame, self.count, *self.memory)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return (self.mask, self.count_out, *self.memory_out)


def allocate(device: Device, spec: ModelSpec, batch: int) -> Buffers:
    """Allocate ``batch`` streams at every port, filled with zeros."""

    def port(name: str, shape: tuple[int, ...], dtype: Any) -> Port:
        made = Port(name, shape, np.dtype(dtype), 0)
        pointer = device.allocate(batch * made.nbytes)
        device.clear(pointer, batch * made.nbytes)
        return Port(name, shape, made.dtype, pointer)

    kind, shapes = memory_type(spec), tuple(tensor_shapes(spec))
    return Buffers(
        frame=port("frame", (spec.height, spec.width, 3), np.uint8),
        count=port("count", (), np.int64),
        memory=tuple(port(name, shape, kind) for name, shape in shapes),
        mask=port("mask", (spec.height, spec.width), np.uint8),
        count_out=port("count_out", (), np.int64),
        memory_out=tuple(port(f"{name}_out", shape, kind) for name, shape in shapes),
    )
