"""Rewrite a float32 graph of standard operators in float16, with islands of float32.

The islands are those of the network in half precision (``Segmenter.to_half`` and the ``float()``
calls in models/): the picture until it is normalised, means and softmaxes, elementwise operations
on them, pooling by constant matrices, whitened logits, and sampling positions.

If you change the result of this module or of ``portable``, increase ``models.plan.REWRITING``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import numpy as np
from numpy.typing import NDArray
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    helper,
    numpy_helper,
    shape_inference,
)

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16

REDUCTIONS = {"ReduceMean", "ReduceSum", "ReduceMin", "ReduceMax", "ReduceL2"}
EXACT = {"Softmax", "GridSample"} | REDUCTIONS
"""Operators that start an island."""

ON = {"Sub", "Mul", "Div", "Clip", "Less", "Greater"}
"""Operators that belong to an island if one of their inputs does: they are elementwise."""

OFF = {"Add", "Conv", "MatMul", "Relu", "Concat", "Pad", "Gather", "Where", "Resize"}
"""Operators that read the result of an island in float16: the network too computes them in float16,
or they only pass values on."""

UNTYPED = {"Cast", "Shape"}
"""Operators that read a tensor of any type."""

SHAPERS = {"Reshape", "Transpose", "Unsqueeze", "Squeeze", "Flatten", "Expand"}
CARRIERS = {"Slice", "Split", "Identity"} | SHAPERS
"""Operators whose output has the type of their first input."""

SIZES = {("Resize", 2)}
"""Inputs, by operator and index, that the standard requires to be float32."""


class NotRewritable(ValueError):
    """The graph contains something that cannot be rewritten; the message names it."""


class BeyondHalf(ValueError):
    """A weight is beyond float16; the message names it."""


def to_half(model: ModelProto) -> None:
    """Rewrite the model in place; float32 inputs and outputs become float16 under the same names.

    Raises NotRewritable if an operator is unknown, BeyondHalf if float16 cannot hold a weight; the
    model is unusable then.
    """
    graph = model.graph
    floats = _floats(model)
    islands = _islands(graph, floats)
    halving = Halving(graph, floats)
    nodes = [
        made
        for index, node in enumerate(graph.node)
        for made in halving.rewrite(node, index in islands)
    ]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    _declare(graph, floats)
    _drop_unread(graph)


def _floats(model: ModelProto) -> set[str]:
    """Return the names of all float32 tensors."""
    graph = shape_inference.infer_shapes(model).graph
    infos = (*graph.value_info, *graph.input, *graph.output)
    found = {info.name for info in infos if info.type.tensor_type.elem_type == FLOAT}
    return found | {held.name for held in graph.initializer if held.data_type == FLOAT}


def halved(name: str, values: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return constants in float16. Raises BeyondHalf if one is too large."""
    largest = np.abs(values).max(initial=0)
    if largest > np.finfo(np.float16).max:
        raise BeyondHalf(f"{name} goes up to {largest:g}, beyond float16; use fp32.")
    return values.astype(np.float16)


def _islands(graph: GraphProto, floats: set[str]) -> set[int]:
    """Return the indices of the nodes that compute in float32.

    Raises NotRewritable if an operator that reads the result of an island is unknown.
    """
    constants = {held.name for held in graph.initializer}
    found = _positions(graph)
    exact: set[str] = set()
    shares: set[str] = set()
    for index, node in enumerate(graph.node):
        _check_known(node, floats)
        given = set(node.input)
        # A softmax is at most 1: its product with values is as accurate in float16.
        wide = constants | exact - shares
        if (
            index in found
            or node.op_type in EXACT
            or (node.op_type == "Cast" and node.output[0] in floats)
            or (node.op_type in ON and given & exact)
            or (node.op_type in CARRIERS and node.input[0] in exact)
            or (node.op_type == "MatMul" and given & wide)
        ):
            found.add(index)
            exact.update(node.output)
        elif given & exact & floats and node.op_type not in OFF | UNTYPED:
            raise NotRewritable(f"{node.op_type} {node.name} of float32 has no float16 form here.")
        if node.op_type == "Softmax" or (node.op_type in CARRIERS and node.input[0] in shares):
            shares.update(node.output)
    return found


def _check_known(node: NodeProto, floats: set[str]) -> None:
    """Raise NotRewritable if a node without float32 inputs makes float32: an attribute says so."""
    makes = not floats.isdisjoint(node.output)
    if makes and floats.isdisjoint(node.input) and node.op_type != "Cast":
        raise NotRewritable(f"{node.op_type} {node.name} makes float32 from no float32 input.")


def _positions(graph: GraphProto) -> set[int]:
    """Return the indices of the nodes between a convolution and the positions of a GridSample."""
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output}
    waiting = [node.input[1] for node in graph.node if node.op_type == "GridSample"]
    found: set[int] = set()
    while waiting:
        index = makers.get(waiting.pop())
        if index is not None and graph.node[index].op_type != "Conv" and index not in found:
            found.add(index)
            waiting += graph.node[index].input
    return found


def _declare(graph: GraphProto, floats: set[str]) -> None:
    for info in (*graph.input, *graph.output):
        if info.name in floats:
            info.type.tensor_type.elem_type = HALF


def _drop_unread(graph: GraphProto) -> None:
    """Remove constants that no node reads."""
    read = {name for node in graph.node for name in node.input}
    for held in [held for held in graph.initializer if held.name not in read]:
        graph.initializer.remove(held)


class Halving:
    """One pass over a graph's nodes, in order.

    It records which tensors are in float32 and which also exist in the other type.
    """

    def __init__(self, graph: GraphProto, floats: set[str]) -> None:
        self._graph = graph
        self._floats = floats
        self._constants = {h.name: h for h in graph.initializer if h.name in floats}
        self._outputs = {info.name for info in graph.output}
        self._exact = set(self._constants)
        self._made: set[str] = set()

    def rewrite(self, node: NodeProto, is_exact: bool) -> Iterator[NodeProto]:
        """Yield the casts that the node needs, the node, and casts of graph outputs after it."""
        for index, name in enumerate(node.input):
            if name in self._floats and node.op_type != "Cast":
                exact = is_exact or (node.op_type, index) in SIZES
                node.input[index] = yield from self._typed(name, exact)
        made = [name for name in node.output if name in self._floats]
        yield node
        if not is_exact:
            return
        self._exact.update(made)
        for index, name in enumerate(node.output):
            if name in self._outputs and name in self._floats:
                node.output[index] = f"{name}.exact"
                yield _cast(node.output[index], name, HALF)

    def _typed(self, name: str, exact: bool) -> Generator[NodeProto, None, str]:
        """Return the name of a tensor in the type that is needed; make it if there is none yet."""
        if (name in self._exact) == exact:
            return name
        wanted = f"{name}.exact" if exact else f"{name}.half"
        if wanted in self._made:
            return wanted
        self._made.add(wanted)
        if name in self._constants:
            values = halved(name, numpy_helper.to_array(self._constants[name]))
            self._graph.initializer.append(numpy_helper.from_array(values, wanted))
        else:
            yield _cast(name, wanted, FLOAT if exact else HALF)
        return wanted


def _cast(name: str, to: str, kind: int) -> NodeProto:
    return helper.make_node("Cast", [name], [to], f"{to}.cast", to=kind)
