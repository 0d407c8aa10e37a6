"""Rewrite a graph with convolutions in int8: choose the tensors to quantise, then quantise them.

A quantised tensor passes through QuantizeLinear and DequantizeLinear. ONNX Runtime fuses these with
the operators between them into integer convolutions, additions and poolings, which pass integer
levels to one another. Activations are uint8; weights are symmetric int8 per output channel.

Weights use 7 bits. x86 CPUs without VNNI add pairs of products in saturating 16-bit arithmetic, and
2 * 255 * 63 stays below its limit, so every CPU computes the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.ranges import Range
from export.storage import quantise

WEIGHT_LIMIT = 63
BIAS_LIMIT = 2.0**30
"""Half of the range of int32, because the products are added to the bias."""

CARRIERS = ("MaxPool", "Resize")
"""Operators that pass levels on: the output has the range of the input."""

JOINS = ("Add", "Concat")
"""Operators that compute on levels if all their inputs are quantised."""

SENSITIVE = {
    "ArgMax": (0,),
    "Softmax": (0,),
    "MultiHeadAttention": (0, 1),
    "GridSample": (1,),
}
"""Operators that turn a small error into a large one, with the indices of those inputs."""


@dataclass
class Plan:
    """What to quantise: ``convolutions`` by node name, ``tensors`` whose ranges are measured, and
    ``carried`` tensors, each with the tensor whose range it takes."""

    convolutions: list[str] = field(default_factory=list)
    tensors: list[str] = field(default_factory=list)
    carried: dict[str, str] = field(default_factory=dict)

    def __contains__(self, tensor: str) -> bool:
        return tensor in self.tensors or tensor in self.carried

    def add(self, tensor: str) -> None:
        if tensor not in self:
            self.tensors.append(tensor)


def first(graph: GraphProto, frame: str = "frame") -> set[str]:
    """Return the names of the convolutions that read the frame with no other in between.

    They stay exact: with three channels they gain little from integers, and their error would
    affect everything that follows.
    """
    reached, found = {frame}, set()
    for node in graph.node:
        if reached.isdisjoint(node.input):
            continue
        if node.op_type == "Conv":
            found.add(node.name)
        else:
            reached.update(node.output)
    return found


def last(graph: GraphProto) -> set[str]:
    """Return the names of the convolutions that feed a sensitive input with no other in between.

    They are classifiers, the queries and keys of attention, and flow fields.
    """
    makers = {name: node for node in graph.node for name in node.output}
    waiting = [
        node.input[index] for node in graph.node for index in SENSITIVE.get(node.op_type, ())
    ]
    seen: set[str] = set()
    found = set()
    while waiting:
        name = waiting.pop()
        node = makers.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        if node.op_type == "Conv":
            found.add(node.name)
        else:
            waiting += node.input
    return found


def shared(graph: GraphProto) -> set[str]:
    """Return the names of the convolutions that share a weight.

    They stay exact, since the levels of a bias depend on the range of a single input.
    """
    users = Counter(node.input[1] for node in graph.node if node.op_type == "Conv")
    return {n.name for n in graph.node if n.op_type == "Conv" and users[n.input[1]] > 1}


def pool_first(graph: GraphProto, kept: set[str]) -> None:
    """Swap the ReLU and the max-pooling after a convolution in ``kept``, in place.

    The result is the same. With the ReLU last, ONNX Runtime does not move the quantisation before
    the pooling, for which it has no fast kernel.
    """
    makers = {name: node for node in graph.node for name in node.output}
    for pool in [node for node in graph.node if node.op_type == "MaxPool"]:
        relu = makers.get(pool.input[0])
        conv = makers.get(relu.input[0]) if relu is not None and relu.op_type == "Relu" else None
        read = sum(pool.input[0] in node.input for node in graph.node)
        if relu is None or conv is None or conv.name not in kept or read > 1:
            continue
        relu.op_type, pool.op_type = pool.op_type, relu.op_type
        relu.attribute.extend(pool.attribute)
        del pool.attribute[:]
        for info in [i for i in graph.value_info if i.name == relu.output[0]]:
            graph.value_info.remove(info)


def plan(graph: GraphProto, kept: set[str]) -> Plan:
    """Plan to quantise all convolutions except those in ``kept``, and the tensors between them."""
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found = Plan()
    for node in graph.node:
        if node.op_type == "Conv" and node.name not in kept:
            found.convolutions.append(node.name)
            found.add(node.input[0])
            found.add(_result(node, readers))
        elif node.op_type in JOINS and all(name in found for name in node.input):
            found.add(_result(node, readers))
        elif node.op_type in CARRIERS and node.input[0] in found:
            source = found.carried.get(node.input[0], node.input[0])
            found.carried[node.output[0]] = source
    return found


def _result(node: NodeProto, readers: Mapping[str, list[NodeProto]]) -> str:
    """Return the node's output, or that of a ReLU if only the ReLU reads the node's output."""
    following = readers.get(node.output[0], [])
    if [reader.op_type for reader in following] == ["Relu"]:
        return str(following[0].output[0])
    return str(node.output[0])


def rewrite(model: ModelProto, plan: Plan, ranges: Mapping[str, Range]) -> None:
    """Apply the plan to the graph in place; every weight can still be read by its name."""
    graph = model.graph
    of = {name: ranges[name] for name in plan.tensors}
    of |= {name: ranges[source] for name, source in plan.carried.items()}
    held = {initialiser.name: initialiser for initialiser in graph.initializer}
    _own_biases(graph, held)
    restored = [
        restore
        for node in graph.node
        if node.name in plan.convolutions
        for restore in _quantised_weights(graph, held, node, of[node.input[0]])
    ]
    nodes = list(_with_levels(graph, of))
    del graph.node[:]
    graph.node.extend([*restored, *nodes])


def _own_biases(graph: GraphProto, held: Mapping[str, TensorProto]) -> None:
    """Give each convolution its own bias, since the exporter lets equal biases be shared."""
    for node in graph.node:
        if node.op_type == "Conv" and len(node.input) > 2:
            own = node.input[1].removesuffix("weight") + "bias"
            node.input[2] = own if own in held else node.input[2]


def _quantised_weights(
    graph: GraphProto, held: Mapping[str, TensorProto], conv: NodeProto, of_input: Range
) -> Iterator[NodeProto]:
    """Replace weight and bias by levels and yield the nodes that restore them."""
    for name in conv.input[1:]:
        graph.initializer.remove(held[name])
    weight, *bias = (numpy_helper.to_array(held[name]) for name in conv.input[1:])
    least = max((np.abs(values) / (BIAS_LIMIT * of_input.scale) for values in bias), default=0)
    levels, scale = quantise(weight, WEIGHT_LIMIT, least)
    yield _restored(graph, conv.input[1], levels, scale)
    steps = (scale * np.float32(of_input.scale)).astype(np.float32)
    for name, values in zip(conv.input[2:], bias, strict=True):
        yield _restored(graph, name, np.rint(values / steps).astype(np.int32), steps)


def _restored(graph: GraphProto, name: str, levels: NDArray[Any], scale: NDArray[Any]) -> NodeProto:
    parts = {
        f"{name}.{levels.dtype}": levels,
        f"{name}.scale": scale,
        f"{name}.zero_point": np.zeros(len(scale), levels.dtype),
    }
    _hold(graph, parts)
    return helper.make_node("DequantizeLinear", [*parts], [name], f"{name}.restore", axis=0)


def _with_levels(graph: GraphProto, of: Mapping[str, Range]) -> Iterator[NodeProto]:
    """Yield the graph's nodes, with each quantised tensor quantised and dequantised after its node.

    All its readers take the dequantised tensor.
    """
    for given in graph.input:
        yield from _levels(graph, given.name, of)
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name in of:
                node.input[index] = f"{name}.restored"
        yield node
        for name in node.output:
            yield from _levels(graph, name, of)


def _levels(graph: GraphProto, name: str, of: Mapping[str, Range]) -> Iterator[NodeProto]:
    if name not in of:
        return
    parameters: dict[str, NDArray[Any]] = {
        f"{name}.scale": np.array(of[name].scale, np.float32),
        f"{name}.zero_point": np.array(of[name].zero_point, np.uint8),
    }
    _hold(graph, parameters)
    levels, restored = f"{name}.levels", f"{name}.restored"
    yield helper.make_node("QuantizeLinear", [name, *parameters], [levels], levels)
    yield helper.make_node("DequantizeLinear", [levels, *parameters], [restored], restored)


def _hold(graph: GraphProto, arrays: Mapping[str, NDArray[Any]]) -> None:
    graph.initializer.extend(numpy_helper.from_array(held, name) for name, held in arrays.items())
