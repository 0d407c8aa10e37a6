"""Store weights in another type than that of the computation: fp32, fp16, or int8 per channel.

One node per weight converts it back to the graph's precision; a runtime folds that node when it
loads the file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

STORAGES = ("fp32", "fp16", "int8")
SMALLEST = 1024
"""Weights with fewer elements are not converted, since that would save little."""


def store(model: ModelProto, storage: str) -> None:
    """Convert the convolutions' weights in place. Raises ValueError if ``storage`` is unknown."""
    if storage not in STORAGES:
        raise ValueError(f"Store weights as one of {', '.join(STORAGES)}, not {storage!r}.")
    if storage == "fp32":
        return
    graph = model.graph
    for weight in [i for i in graph.initializer if _is_large_weight(graph, i)]:
        restore = _as_int8(graph, weight) if storage == "int8" else _as_fp16(graph, weight)
        graph.initializer.remove(weight)
        graph.node.insert(0, restore)


def restore(model: ModelProto) -> None:
    """Undo :func:`store` in place: every weight is a float32 initialiser again."""
    graph = model.graph
    held = {initialiser.name: initialiser for initialiser in graph.initializer}
    for node in [n for n in graph.node if n.name == f"{n.output[0]}.restore"]:
        parts = [numpy_helper.to_array(held[name]) for name in node.input]
        weight = parts[0].astype(np.float32)
        if len(parts) > 1:
            weight *= parts[1].reshape(-1, *[1] * (weight.ndim - 1))
        graph.node.remove(node)
        for name in node.input:
            graph.initializer.remove(held[name])
        graph.initializer.append(numpy_helper.from_array(weight, node.output[0]))


def _is_large_weight(graph: GraphProto, held: TensorProto) -> bool:
    wanted = held.data_type == TensorProto.FLOAT and np.prod(held.dims) >= SMALLEST
    return bool(wanted) and any(
        node.op_type == "Conv" and node.input[1] == held.name for node in graph.node
    )


def _as_int8(graph: GraphProto, weight: TensorProto) -> NodeProto:
    levels, scale = quantise(numpy_helper.to_array(weight))
    stored, scaled = f"{weight.name}.int8", f"{weight.name}.scale"
    graph.initializer.append(numpy_helper.from_array(levels, stored))
    graph.initializer.append(numpy_helper.from_array(scale, scaled))
    return helper.make_node(
        "DequantizeLinear", [stored, scaled], [weight.name], f"{weight.name}.restore", axis=0
    )


def _as_fp16(graph: GraphProto, weight: TensorProto) -> NodeProto:
    stored = f"{weight.name}.fp16"
    half = numpy_helper.to_array(weight).astype(np.float16)
    graph.initializer.append(numpy_helper.from_array(half, stored))
    return helper.make_node(
        "Cast", [stored], [weight.name], f"{weight.name}.restore", to=TensorProto.FLOAT
    )


def quantise(
    weight: NDArray[np.float32], limit: int = 127, least: float | NDArray[np.floating[Any]] = 0.0
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantise a weight (c_out, ...) to symmetric int8 per output channel.

    Returns the levels, shaped as ``weight`` and at most ``limit`` in magnitude, and the scale
    (c_out,) float32, no smaller than ``least``. The scale is that of a few clippings with the
    smallest squared error: clipping a single large weight can make all others more precise.
    """
    flat = weight.reshape(len(weight), -1)
    largest = np.maximum(np.abs(flat).max(axis=1), 1e-12)
    best_scale, best_error = largest / limit, np.full(len(flat), np.inf)
    for share in np.linspace(0.7, 1.0, 13):
        scale = largest * share / limit
        levels = np.rint(flat / scale[:, None]).clip(-limit, limit)
        error = ((levels * scale[:, None] - flat) ** 2).sum(axis=1)
        better = error < best_error
        best_scale, best_error = np.where(better, scale, best_scale), np.minimum(error, best_error)
    best_scale = np.maximum(best_scale, least)
    levels = np.rint(flat / best_scale[:, None]).clip(-limit, limit).astype(np.int8)
    return levels.reshape(weight.shape), best_scale.astype(np.float32)
