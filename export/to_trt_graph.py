"""The served graph as TensorRT's parser takes it, and as Triton keeps its state.

TensorRT 11 builds strongly typed networks: the precision of a plan is that of its graph. Its
parser knows standard operators only, uint8 only at inputs and outputs, and no Clip of integers.
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
"""Types of a QuantizeLinear's zero point that TensorRT builds, and what we call the precision."""

COUNTS = ("count", "count_out")


class GraphError(ValueError):
    """A graph that TensorRT cannot be given; the message says what to give it."""


@dataclass(frozen=True)
class TrtGraph:
    """What TensorRT is given. ``precision`` is the graph's: fp32, fp16, int8 or fp8."""

    model: ModelProto
    spec: ModelSpec
    precision: str

    @property
    def content(self) -> bytes:
        return bytes(self.model.SerializeToString(deterministic=True))

    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Shape for one stream of each input."""
        return {
            given.name: tuple(d.dim_value for d in given.type.tensor_type.shape.dim[1:])
            for given in self.model.graph.input
        }


def prepare(path: Path, precision: str, size: tuple[int, int] | None) -> TrtGraph:
    """The graph of a .pt or .onnx, for TensorRT; ``size`` is (height, width), its own where None.

    An ONNX file that TensorRT can take is taken as it is, a quantised one (Q/DQ) always; any other,
    such as one made for ONNX Runtime's own operators, is rewritten. Only a checkpoint, another size
    and what the rewriting does not know are traced anew, which needs torch. Raises GraphError,
    SpecError, CheckpointError or OSError.
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
    """The precision of a Q/DQ graph; None where nothing is quantised as it runs, or not in a type
    that TensorRT builds."""
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
    # Weights stored smaller are brought back by nodes that TensorRT may keep in the plan.
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
            f"a quantised graph has one size, {spec.width}x{spec.height}: leave --size out"
        )
    return TrtGraph(adapt(model), spec, precision)


def _rewritten(model: ModelProto, precision: str, size: tuple[int, int] | None) -> TrtGraph:
    own = _size(described.read_spec(model))
    if size not in (None, own):
        raise NotRewritable(f"a graph of {own[1]}x{own[0]} does not become one of another size")
    rewritten, spec = rewrite(model, precision)
    return TrtGraph(adapt(rewritten), spec, precision)


def _traced(
    path: Path, precision: str, size: tuple[int, int] | None, reason: Exception | None = None
) -> TrtGraph:
    """``reason`` is why nothing less will do."""
    try:
        from export.graph import trace  # noqa: PLC0415  where a plan is built there is no torch
        from models import source  # noqa: PLC0415
    except ImportError as error:
        why = f": {reason}" if reason else ""
        raise GraphError(
            f"{path} must be traced, which needs pip install 'mastream[export]' ({error}){why}"
        ) from error
    network, recipe, spec = source.load(path)
    spec = source.describe(network, spec, size or _size(spec), precision)
    spec = replace(spec, weights=precision)
    return TrtGraph(adapt(trace(network, recipe, spec, "portable")), spec, precision)


def adapt(model: ModelProto) -> ModelProto:
    """A copy that computes the same by what TensorRT's parser knows."""
    adapted = ModelProto()
    adapted.CopyFrom(model)
    del adapted.graph.value_info[:]  # types of what lies between, which change
    _cast_before_transpose(adapted.graph)
    _min_for_clip(adapted.graph)
    return adapted


def _cast_before_transpose(graph: GraphProto) -> None:
    """uint8 may only be an input: the frame is cast first and then transposed."""
    for transpose in nodes(graph, "Transpose"):
        readers = [node for node in graph.node if transpose.output[0] in node.input]
        if transpose.input[0] != "frame" or [r.op_type for r in readers] != ["Cast"]:
            continue
        (cast,) = readers
        order, to = (helper.get_attribute_value(n.attribute[0]) for n in (transpose, cast))
        transpose.CopyFrom(helper.make_node("Cast", ["frame"], transpose.output, to=to))
        cast.CopyFrom(helper.make_node("Transpose", cast.input, cast.output, perm=order))


def _min_for_clip(graph: GraphProto) -> None:
    """count's upper bound: Clip is for floating point there, Min is not."""
    integers = {i.name for i in graph.initializer if i.data_type == TensorProto.INT64}
    for clip in nodes(graph, "Clip"):
        value, least, most = [*clip.input, "", ""][:3]
        if not least and most in integers:
            clip.CopyFrom(helper.make_node("Min", [value, most], clip.output))


def columns(model: ModelProto) -> ModelProto:
    """A copy whose count and count_out are (B, 1): Triton keeps no state without an axis, and
    would begin it with memory that nobody cleared."""
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
    return iter([node for node in graph.node if node.op_type == kind])
