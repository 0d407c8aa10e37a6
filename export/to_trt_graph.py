"""Prepare the served graph for TensorRT's parser, and its count for Triton's state.

TensorRT 11 builds strongly typed networks: the precision of a plan is that of its graph. Its
parser supports only standard operators, uint8 only at inputs and outputs, and no Clip of integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.half import NotRewritable
from export.portable import rewrite
from models import described
from models.spec import ModelSpec

QUANTISED = {
    TensorProto.INT8: "int8",
    TensorProto.FLOAT8E4M3FN: "fp8",
}
"""The types of a QuantizeLinear's zero point that TensorRT supports, with the graph's precision."""

COUNTS = ("count", "count_out")


class GraphError(ValueError):
    """TensorRT cannot build the graph; the message says what to change."""


@dataclass(frozen=True)
class TrtGraph:
    """A graph for TensorRT. ``precision`` is the graph's: fp32, fp16, int8 or fp8."""

    model: ModelProto
    spec: ModelSpec
    precision: str

    @property
    def content(self) -> bytes:
        """The graph as an ONNX file; equal graphs give equal bytes."""
        return bytes(self.model.SerializeToString(deterministic=True))

    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each input for one stream, without the batch axis."""
        return {
            given.name: tuple(d.dim_value for d in given.type.tensor_type.shape.dim[1:])
            for given in self.model.graph.input
        }


def prepare(path: Path, precision: str, size: tuple[int, int] | None) -> TrtGraph:
    """Return the graph of a .pt or .onnx for TensorRT.

    ``size`` is (height, width); None means the model's own. An ONNX file that TensorRT can read is
    taken as it is, if quantised (Q/DQ) whatever ``precision`` is; any other, such as one with ONNX
    Runtime's own operators, is rewritten. Only a checkpoint, another size or a graph that cannot be
    rewritten is traced again, which needs torch. Raises GraphError if the graph cannot be prepared,
    SpecError, CheckpointError or OSError if the file cannot be used.
    """
    if path.suffix != ".onnx":
        return _traced(path, precision, size)
    given = described.read(path)
    quantised = quantised_as(given) if _is_standard(given) else None
    if quantised:
        return _taken(given, quantised, size)
    if _is_ready(given, precision, size):
        return _taken(given, precision, size)
    try:
        return _rewritten(given, precision, size)
    except NotRewritable as reason:
        return _traced(path, precision, size, reason)


def quantised_as(model: ModelProto) -> str | None:
    """Return the precision of a Q/DQ graph.

    It is None if no activation is quantised, or if one is in a type that TensorRT does not support.
    """
    kinds = {_zero_point_type(model.graph, n) for n in nodes(model.graph, "QuantizeLinear")}
    if not kinds or kinds - QUANTISED.keys():
        return None
    return "fp8" if TensorProto.FLOAT8E4M3FN in kinds else "int8"


def _zero_point_type(graph: GraphProto, node: NodeProto) -> int:
    if len(node.input) < 3:
        chosen: list[int] = [a.i for a in node.attribute if a.name == "output_dtype"]
        return chosen[0] if chosen else TensorProto.UINT8
    held: dict[str, int] = {i.name: i.data_type for i in graph.initializer}
    return held.get(node.input[2], TensorProto.UNDEFINED)


def _is_standard(model: ModelProto) -> bool:
    return all(node.domain in {"", "ai.onnx"} for node in model.graph.node)


def _is_ready(model: ModelProto, precision: str, size: tuple[int, int] | None) -> bool:
    spec = described.read_spec(model)
    # TensorRT may keep the nodes that convert weights of a smaller type in the plan.
    whole = spec.weights == precision
    return (
        _is_standard(model)
        and not any(nodes(model.graph, "QuantizeLinear"))
        and whole
        and spec.precision == precision
        and size in (None, _size(spec))
    )


def _size(spec: ModelSpec) -> tuple[int, int]:
    return spec.height, spec.width


def _taken(model: ModelProto, precision: str, size: tuple[int, int] | None) -> TrtGraph:
    spec = described.read_spec(model)
    if size not in (None, _size(spec)):
        raise GraphError(
            f"A quantised graph has only one size, {spec.width}x{spec.height}; leave --size out."
        )
    return TrtGraph(adapt(model), spec, precision)


def _rewritten(model: ModelProto, precision: str, size: tuple[int, int] | None) -> TrtGraph:
    own = _size(described.read_spec(model))
    if size not in (None, own):
        raise NotRewritable(f"A graph of {own[1]}x{own[0]} cannot be rewritten in another size.")
    rewritten, spec = rewrite(model, precision)
    return TrtGraph(adapt(rewritten), spec, precision)


def _traced(
    path: Path, precision: str, size: tuple[int, int] | None, reason: Exception | None = None
) -> TrtGraph:
    """Trace the network of the file; ``reason`` is why its graph could not be used."""
    try:
        from export.graph import trace  # noqa: PLC0415  a machine that builds plans needs no torch
        from models import source  # noqa: PLC0415
    except ImportError as error:
        why = f" {reason}" if reason else ""
        raise GraphError(
            f"{path} must be traced; run pip install 'mastream[export]' ({error}).{why}"
        ) from error
    network, recipe, spec = source.load(path)
    spec = source.describe(network, spec, size or _size(spec), precision)
    spec = replace(spec, weights=precision)
    return TrtGraph(adapt(trace(network, recipe, spec, "portable")), spec, precision)


def adapt(model: ModelProto) -> ModelProto:
    """Return an equivalent copy that TensorRT's parser can read."""
    adapted = ModelProto()
    adapted.CopyFrom(model)
    del adapted.graph.value_info[:]  # the types of intermediate tensors change
    _cast_before_transpose(adapted.graph)
    _min_for_clip(adapted.graph)
    return adapted


def _cast_before_transpose(graph: GraphProto) -> None:
    """Cast the frame before it is transposed, since only an input may be uint8."""
    for transpose in nodes(graph, "Transpose"):
        readers = [node for node in graph.node if transpose.output[0] in node.input]
        if transpose.input[0] != "frame" or [r.op_type for r in readers] != ["Cast"]:
            continue
        (cast,) = readers
        order, to = (helper.get_attribute_value(n.attribute[0]) for n in (transpose, cast))
        transpose.CopyFrom(helper.make_node("Cast", ["frame"], transpose.output, to=to))
        cast.CopyFrom(helper.make_node("Transpose", cast.input, cast.output, perm=order))


def _min_for_clip(graph: GraphProto) -> None:
    """Bound count by Min, since TensorRT's Clip is for floating point only."""
    integers = {i.name for i in graph.initializer if i.data_type == TensorProto.INT64}
    for clip in nodes(graph, "Clip"):
        value, least, most = [*clip.input, "", ""][:3]
        if not least and most in integers:
            clip.CopyFrom(helper.make_node("Min", [value, most], clip.output))


def columns(model: ModelProto) -> ModelProto:
    """Return a copy whose count and count_out are (B, 1).

    Triton cannot keep a state without an axis: it would start with uninitialised memory.
    """
    changed = ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    inner = {name: f"{name}.flat" for name in COUNTS}
    for node in graph.node:
        node.input[:] = [inner.get(name, name) for name in node.input]
        node.output[:] = [inner.get(name, name) for name in node.output]
    axis = "count.axis"
    graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), axis))
    graph.node.insert(0, helper.make_node("Squeeze", ["count", axis], [inner["count"]]))
    graph.node.append(helper.make_node("Unsqueeze", [inner["count_out"], axis], ["count_out"]))
    for info in (*graph.input, *graph.output):
        if info.name in COUNTS:
            info.type.tensor_type.shape.dim.add(dim_value=1)
    return changed


def nodes(graph: GraphProto, kind: str) -> Iterator[NodeProto]:
    """Iterate over the nodes of one operator; the graph may be changed meanwhile."""
    return iter([node for node in graph.node if node.op_type == kind])
