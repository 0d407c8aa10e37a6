"""Behaviour shared by all engines on a GPU, on a fake one with a program that adds."""

from __future__ import annotations

import ctypes
import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fake_cuda import FakeCuda, address, aligned
from numpy.typing import NDArray

from models.spec import ClassLabel, ModelSpec, StageMemory
from server.engines.buffers import Buffers, Port
from server.engines.cuda import Launch
from server.engines.device_engine import DeviceEngine, Program, bucket
from server.errors import EngineDead, EngineFault
from server.frame import DevicePixels, Pixels

SPEC = ModelSpec(
    name="sum",
    head="none",
    backbone="none",
    classes=(ClassLabel("sum", (0, 0, 0)),) * 256,
    height=2,
    width=3,
    output_stride=1,
    memory=(StageMemory(1, tokens=2, key_width=1, value_width=3),),
    memory_frames=2,
    memory_horizon=2,
    preset="default",
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
)
BATCH_BYTES = 3 * (18 + 8 + 16 + 48 + 6 + 8 + 16 + 48)


class Sum(Program):
    """Labels are the frame's first channel plus what is remembered; key and value remember it."""

    def __init__(self, device: FakeCuda) -> None:
        self._device = device
        self.prepared: list[int] = []
        self.ran: list[int] = []
        self.error: Exception | None = None

    def prepare(self, buffers: Buffers, batch: int) -> Launch:
        self.prepared.append(batch)
        return lambda: self._device.enqueue(lambda: self._run(buffers, batch))

    def close(self) -> None:
        self.prepared.clear()

    def _run(self, buffers: Buffers, batch: int) -> None:
        if self.error:
            raise self.error
        self.ran.append(batch)
        frame, count, *memory = (_view(port, batch) for port in buffers.inputs)
        mask, count_out, *kept = (_view(port, batch) for port in buffers.outputs)
        seen = frame[:, 0, 0, 0]
        recalled = np.zeros(batch)
        if memory:
            recalled = np.where(count > 0, np.nan_to_num(memory[0][:, 0, 0, 0]), 0)
        mask[:] = (seen + recalled.astype(np.uint8))[:, None, None]
        count_out[:] = np.minimum(count + 1, 2)
        for old, new in zip(memory, kept, strict=True):
            new[:, 1] = old[:, 0]
            new[:, 0] = seen[:, None, None]


def _view(port: Port, batch: int) -> NDArray[Any]:
    held = (ctypes.c_uint8 * (batch * port.nbytes)).from_address(port.pointer)
    return np.frombuffer(held, port.dtype).reshape(batch, *port.shape)


def make(
    spec: ModelSpec = SPEC, max_batch: int = 3, **options: Any
) -> tuple[DeviceEngine, FakeCuda, Sum]:
    device = FakeCuda(**options)
    program = Sum(device)
    return DeviceEngine(spec, device, program, max_batch), device, program


def frame(value: int) -> Pixels:
    return np.full((2, 3, 3), value, np.uint8)


def test_a_batch_runs_in_the_smallest_bucket_that_holds_it() -> None:
    assert [bucket(n, 6) for n in range(1, 7)] == [1, 2, 4, 4, 6, 6]


def test_every_bucket_is_prepared_once_and_a_batch_runs_in_the_smallest_that_holds_it() -> None:
    engine, _, program = make(max_batch=6)
    assert program.prepared == [1, 2, 4, 6]
    assert program.ran == [*2 * [1, 2, 4, 6], 1, 2], "the second time they are timed"
    program.ran.clear()
    for n in (1, 2, 3, 5):
        engine.step([frame(1)] * n, [engine.blank()] * n)
    assert program.ran == [1, 2, 4, 6]


def test_spare_lanes_are_empty_streams() -> None:
    engine, _, _ = make(max_batch=4)
    full = [engine.step([frame(7)], [engine.blank()])[1][0] for _ in range(4)]
    engine.step([frame(1)] * 4, full)
    masks, _ = engine.step([frame(1)] * 3, [engine.blank()] * 3)
    assert [mask.max() for mask in masks] == [1, 1, 1]
    assert engine._counts.tolist() == [0, 0, 0, 0]


def test_a_fresh_stream_saves_nothing_of_the_one_that_had_its_lane() -> None:
    engine, _, _ = make()
    _, (memory,) = engine.step([frame(7)], [engine.blank()])
    engine.step([frame(7)], [memory])
    _, (fresh,) = engine.step([frame(1)], [engine.blank()])
    assert engine.save(fresh)["memory_value_1"][1].tolist() == [[0, 0, 0], [0, 0, 0]]


class Unreadable:
    """Owns a picture on the device that must not be copied to the host."""

    def numpy(self) -> NDArray[Any]:
        raise AssertionError("it was copied to the host")


def test_a_picture_on_the_device_is_taken_from_there() -> None:
    engine, device, _ = make()
    there = aligned(18)
    there[:] = 5
    pixels = DevicePixels((2, 3, 3), device.ordinal, address(there), Unreadable())
    masks, _ = engine.step([frame(3), pixels], [engine.blank()] * 2)
    assert [mask.max() for mask in masks] == [3, 5]


def test_blocks_that_nobody_holds_are_used_again() -> None:
    engine, device, _ = make()
    memory = engine.blank()
    for _ in range(3):
        _, (memory,) = engine.step([frame(1)], [memory])
    used = device.allocated
    for _ in range(20):
        _, (memory,) = engine.step([frame(1)], [memory])
    assert device.allocated == used


def test_the_room_of_many_streams_that_left_is_given_back() -> None:
    engine, device, _ = make(max_batch=1)
    idle = device.allocated
    memories = [engine.step([frame(1)], [engine.blank()])[1][0] for _ in range(20)]
    full = device.allocated
    memories.clear()
    gc.collect()
    for _ in range(30):
        engine.step([frame(1)], [engine.blank()])
    assert idle <= device.allocated < full - 15 * 64


def test_a_full_device_fails_the_step_and_leaves_memories_as_they_were() -> None:
    engine, device, _ = make(max_batch=1)
    held = [engine.step([frame(1)], [engine.blank()])[1][0]]
    device.memory = device.allocated + 1000
    with pytest.raises(EngineFault, match="full") as caught:
        for _ in range(10):
            held.append(engine.step([frame(2)], [held[-1]])[1][0])
    assert not isinstance(caught.value, EngineDead)
    before = engine.save(held[-1])
    del held[:-2]
    gc.collect()
    engine.step([frame(3)], [held[-1]])
    np.testing.assert_equal(engine.save(held[-1]), before)


def test_a_device_too_small_for_the_engine_is_told_when_it_is_made() -> None:
    with pytest.raises(EngineFault, match="full"):
        make(memory=BATCH_BYTES - 1)


def test_a_program_that_fails_is_a_fault_and_the_next_step_goes_well() -> None:
    engine, _, program = make()
    program.error = RuntimeError("no kernel")
    with pytest.raises(EngineFault, match="sum failed: no kernel"):
        engine.step([frame(1)], [engine.blank()])
    program.error = None
    (mask,), _ = engine.step([frame(4)], [engine.blank()])
    assert mask.max() == 4


def test_a_lost_device_is_the_engines_death() -> None:
    engine, device, _ = make()
    device.lost = True
    with pytest.raises(EngineDead):
        engine.step([frame(1)], [engine.blank()])
    engine.close()


def test_memories_outlive_their_engine_without_harm() -> None:
    engine, device, _ = make()
    _, (memory,) = engine.step([frame(1)], [engine.blank()])
    engine.close()
    assert device.allocated == 0
    with pytest.raises(EngineDead, match="closed"):
        engine.save(memory)
    del memory


def test_a_model_without_memory_needs_no_blocks() -> None:
    engine, device, _ = make(replace(SPEC, memory=(), memory_frames=0, memory_horizon=0))
    used = device.allocated
    masks, kept = engine.step([frame(3)], [engine.blank()])
    assert masks[0].max() == 3
    assert device.allocated == used
    assert engine.save(kept[0]).keys() == {"count"}


def test_half_precision_memories_stay_half() -> None:
    engine, _, _ = make(replace(SPEC, precision="fp16"))
    _, (memory,) = engine.step([frame(3)], [engine.blank()])
    saved = engine.save(memory)
    assert saved["memory_key_1"].dtype == np.float16
    assert engine.filled(engine.restore(saved)) == 1
