"""The part shared by all engines on a GPU: copying frames and memories to the graph's fixed
buffers, launching it, and copying masks and memories back. A :class:`Program` makes the launches.

A step enqueues everything on one stream and waits once. Memories never leave the device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Any

from numpy.typing import NDArray

from models.spec import ModelSpec
from server.engines import host_memory
from server.engines.base import Engine, SavedMemory, check_batch
from server.engines.buffers import Buffers, Port, allocate
from server.engines.cuda import Device, Launch
from server.engines.device_memory import Block, BlockPool, DeviceMemory, block_bytes, place
from server.engines.host_memory import HostMemory, memory_type
from server.engines.warming import buckets, warm_up
from server.errors import EngineDead, EngineFault
from server.frame import AnyPixels, DevicePixels, Labels


class Program(ABC):
    """A loaded model that can be launched on a device's stream."""

    @abstractmethod
    def prepare(self, buffers: Buffers, batch: int) -> Launch:
        """Return a launch that runs the model on the first ``batch`` streams of the buffers.

        It is called once per bucket, always with the same buffers.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the model. Idempotent."""


class DeviceEngine(Engine):
    """Runs a program on a device, and closes both in the end.

    A batch of n streams runs in the smallest bucket that holds it; the unused slots compute on
    whatever their buffers contain, with an empty memory, and the results are ignored. Every bucket
    is prepared and warmed up when the engine is made. Raises EngineFault if the device's memory is
    too small.
    """

    def __init__(self, spec: ModelSpec, device: Device, program: Program, max_batch: int) -> None:
        self.spec = spec
        self.max_batch = max_batch
        self.device = f"cuda:{device.ordinal} {device.name}"
        self._device = device
        self._program = program
        self._closed = False
        self._launches: dict[int, Launch] = {}
        try:
            self._allocate()
            self._launches = {
                batch: program.prepare(self._buffers, batch) for batch in buckets(max_batch)
            }
            self.step_seconds = warm_up(self, self._launches)
        except BaseException:
            self.close()
            raise

    def blank(self) -> DeviceMemory:
        return DeviceMemory(0, None)

    def step(
        self, frames: Sequence[AnyPixels], memories: Sequence[DeviceMemory]
    ) -> tuple[list[Labels], list[DeviceMemory]]:
        check_batch(self.spec, frames, memories)
        self._activate()
        try:
            blocks = self._run(frames, memories)
        except EngineDead:
            raise
        except Exception as error:
            self._device.synchronise()  # so that the next step finds the stream idle
            raise EngineFault(f"A step of {self.spec.name} failed: {error}") from error
        self._pool.trim()
        counts = self._counts_out[: len(frames)]
        labels = [mask.copy() for mask in self._masks[: len(frames)]]
        return labels, [DeviceMemory(int(n), b) for n, b in zip(counts, blocks, strict=True)]

    def filled(self, memory: DeviceMemory) -> int:
        return memory.count

    def save(self, memory: DeviceMemory) -> SavedMemory:
        self._activate()
        if memory.block is None:
            return host_memory.save(self.spec, host_memory.blank(self.spec, self._memory_type))
        self._device.copy(_address(self._staging), memory.block.pointer, self._staging.nbytes)
        self._device.synchronise()
        return host_memory.save(self.spec, HostMemory(memory.count, self._staged))

    def restore(self, saved: SavedMemory) -> DeviceMemory:
        given = host_memory.restore(self.spec, self._memory_type, saved)
        self._activate()
        block = self._pool.take()
        for staged, tensor in zip(self._staged, given.tensors, strict=True):
            staged[...] = tensor
        if block:
            self._device.copy(block.pointer, _address(self._staging), self._staging.nbytes)
        self._device.synchronise()
        return DeviceMemory(given.count, block)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._launches = {}
            self._program.close()
            self._device.close()

    def _allocate(self) -> None:
        """Allocate everything that steps need, except for the memories' blocks."""
        device, spec, batch = self._device, self.spec, self.max_batch
        device.activate()
        self._memory_type = memory_type(spec)
        self._placed = place(spec, self._memory_type)
        self._buffers = buffers = allocate(device, spec, batch)
        self._pool = BlockPool(device, block_bytes(self._placed), spare=2 * batch)
        self._frames = _pinned(device, buffers.frame, batch)
        self._counts = _pinned(device, buffers.count, batch)
        self._masks = _pinned(device, buffers.mask, batch)
        self._counts_out = _pinned(device, buffers.count_out, batch)
        self._staging = staging = device.pin(max(1, block_bytes(self._placed)))
        self._staged = tuple(
            staging[at.offset : at.offset + at.nbytes].view(self._memory_type).reshape(at.shape)
            for at in self._placed
        )

    def _activate(self) -> None:
        if self._closed:
            raise EngineDead(f"The engine of {self.spec.name} is closed.")
        self._device.activate()

    def _run(
        self, frames: Sequence[AnyPixels], memories: Sequence[DeviceMemory]
    ) -> list[Block | None]:
        """Compute masks and counts into the pinned buffers; return the new memories' blocks."""
        blocks = [self._pool.take() for _ in frames]
        self._upload(frames)
        self._gather(memories)
        self._launches[bucket(len(frames), self.max_batch)]()
        self._scatter(blocks)
        self._download(len(frames))
        return blocks

    def _upload(self, frames: Sequence[AnyPixels]) -> None:
        """Copy the frames to their slots, from the host or from a device."""
        port = self._buffers.frame
        for slot, frame in enumerate(frames):
            source = device_pointer(frame)
            if source is None:
                self._frames[slot] = frame
                source = _address(self._frames[slot])
            self._device.copy(port.at(slot), source, port.nbytes)

    def _gather(self, memories: Sequence[DeviceMemory]) -> None:
        self._counts[:] = 0
        for slot, memory in enumerate(memories):
            self._counts[slot] = memory.count
            for port, placed in zip(self._buffers.memory, self._placed, strict=True):
                if memory.block:
                    source = memory.block.pointer + placed.offset
                    self._device.copy(port.at(slot), source, placed.nbytes)
                else:
                    # The step ignores the old content, but it is another stream's and would be
                    # copied into this one's new memory.
                    self._device.clear(port.at(slot), placed.nbytes)
        self._device.copy(self._buffers.count.pointer, _address(self._counts), self._counts.nbytes)

    def _scatter(self, blocks: Sequence[Block | None]) -> None:
        """Copy each stream's memory to its own block."""
        for slot, block in enumerate(blocks):
            if block:
                for port, placed in zip(self._buffers.memory_out, self._placed, strict=True):
                    to = block.pointer + placed.offset
                    self._device.copy(to, port.at(slot), placed.nbytes)

    def _download(self, batch: int) -> None:
        """Copy masks and counts to the host, and wait for that."""
        for host, port in (
            (self._masks, self._buffers.mask),
            (self._counts_out, self._buffers.count_out),
        ):
            self._device.copy(_address(host), port.pointer, batch * port.nbytes)
        self._device.synchronise()


def bucket(batch: int, max_batch: int) -> int:
    """Return the smallest prepared size that holds ``batch`` streams."""
    return next(size for size in buckets(max_batch) if size >= batch)


def device_pointer(frame: AnyPixels) -> int | None:
    """Return the address of a picture that is on a device; None if it is on the host."""
    return frame.pointer if isinstance(frame, DevicePixels) else None


def _pinned(device: Device, port: Port, batch: int) -> NDArray[Any]:
    """Return a pinned host array for a port."""
    shape = (batch, *port.shape)
    return device.pin(prod(shape) * port.dtype.itemsize).view(port.dtype).reshape(shape)


def _address(array: NDArray[Any]) -> int:
    return int(array.ctypes.data)
