"""Memories as numpy arrays on the host, for the engines that compute there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from models.spec import ModelSpec
from server.engines.base import SavedMemory
from server.errors import BadRequest


@dataclass(frozen=True, slots=True, eq=False)
class HostMemory:
    """One stream's FIFO.

    ``tensors`` are read-only and in the order of :func:`tensor_shapes`; their first ``count`` slots
    hold frames, the content of the others is ignored.
    """

    count: int
    tensors: tuple[NDArray[Any], ...]


def tensor_shapes(spec: ModelSpec) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Yield name and shape (T, tokens, width) of each memory tensor, stage by stage, key first."""
    for stage in spec.memory:
        yield stage.key_name, (spec.memory_frames, stage.tokens, stage.key_width)
        yield stage.value_name, (spec.memory_frames, stage.tokens, stage.value_width)


def memory_type(spec: ModelSpec) -> np.dtype[Any]:
    """Return the type of the memories in a model's graph."""
    return np.dtype(np.float16 if spec.precision == "fp16" else np.float32)


def blank(spec: ModelSpec, dtype: DTypeLike) -> HostMemory:
    """Return the memory of a stream that has had no frame yet."""
    return HostMemory(0, tuple(_frozen(np.zeros(s, dtype)) for _, s in tensor_shapes(spec)))


def save(spec: ModelSpec, memory: HostMemory) -> SavedMemory:
    """Return a copy by name, as :meth:`server.engines.base.Engine.save` does."""
    names = (name for name, _ in tensor_shapes(spec))
    copies = {name: held.copy() for name, held in zip(names, memory.tensors, strict=True)}
    return {"count": np.array(memory.count, np.int64), **copies}


def restore(spec: ModelSpec, dtype: DTypeLike, saved: SavedMemory) -> HostMemory:
    """Return the memory that was saved. Raises BadRequest if it has another model's shape."""
    shapes = dict(tensor_shapes(spec))
    if saved.keys() != {"count", *shapes}:
        raise BadRequest(f"A memory of {spec.name} has other tensors than {sorted(saved)}.")
    tensors = tuple(_checked(name, saved[name], shape, dtype) for name, shape in shapes.items())
    return HostMemory(_checked_count(saved["count"], spec.memory_frames), tensors)


def _checked(
    name: str, given: NDArray[Any], shape: tuple[int, int, int], dtype: DTypeLike
) -> NDArray[Any]:
    if given.shape != shape or given.dtype != dtype:
        wanted = f"{shape} {np.dtype(dtype)}"
        raise BadRequest(
            f"The tensor {name} is {given.shape} {given.dtype}; this model needs {wanted}."
        )
    return _frozen(given.copy())


def _checked_count(given: NDArray[Any], frames: int) -> int:
    if given.shape != () or given.dtype.kind not in "iu" or not 0 <= int(given) <= frames:
        raise BadRequest(f"A memory's count must be one integer from 0 to {frames}, not {given}.")
    return int(given)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array
