"""An artefact for ONNX Runtime as a graph of standard operators: by rewriting, without torch.

Stored weights become plain ones, levels the values they stand for, ONNX Runtime's fused attention
two products and a softmax; ``half`` then brings it to float16. It computes what a fresh trace of
the same weights would.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    helper,
    numpy_helper,
    shape_inference,
)

from export.half import NotRewritable, to_half
from export.storage import restore
from models import described
from models.spec import ModelSpec

FUSED = "MultiHeadAttention"


def rewrite(model: ModelProto, precision: str) -> tuple[ModelProto, ModelSpec]:
    """A copy of an artefact that computes in ``precision`` (fp32 or fp16) by standard operators
    only, and what it says of itself. Raises NotRewritable, or SpecError where it says nothing."""
    spec = described.read_spec(model)
    rewritten = ModelProto()
    rewritten.CopyFrom(model)
    del rewritten.graph.value_info[:]  # of tensors that go
    _check_can_be(precision, spec)
    restore(rewritten)
    _drop_levels(rewritten.graph)
    _plain_attention(rewritten, spec.precision)
    if precision == "fp16" and spec.precision != "fp16":
        to_half(rewritten)
    spec = replace(spec, precision=precision, weights=precision)
    described.describe(rewritten, spec)
    return rewritten, spec


def _check_can_be(precision: str, spec: ModelSpec) -> None:
    if spec.precision == "fp16" != precision:
        raise NotRewritable(f"what was rounded to fp16 does not become {precision} again")


def _drop_levels(graph: GraphProto) -> None:
    """Readers of what levels stand for read the tensor that was quantised."""
    levels = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "QuantizeLinear"}
    pairs = [n for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] in levels]
    exact = {node.output[0]: levels[node.input[0]] for node in pairs}
    gone = {*levels, *exact}
    kept = [node for node in graph.node if node.output[0] not in gone]
    for node in kept:
        node.input[:] = [exact.get(name, name) for name in node.input]
    if left := [n for n in kept if n.op_type in ("QuantizeLinear", "DequantizeLinear")]:
        raise NotRewritable(f"{left[0].name} quantises in a way of its own")
    del graph.node[:]
    graph.node.extend(kept)


def _plain_attention(model: ModelProto, precision: str) -> None:
    """Fused attention of a graph in ``precision``, in place, as two products and a softmax in
    float32."""
    graph = model.graph
    widths = _widths(model) if any(n.op_type == FUSED for n in graph.node) else {}
    rewritten = [
        made
        for node in graph.node
        for made in (
            _spelled_out(graph, node, widths, precision) if node.op_type == FUSED else [node]
        )
    ]
    if foreign := [n for n in rewritten if n.domain not in {"", "ai.onnx"}]:
        raise NotRewritable(f"{foreign[0].domain}::{foreign[0].op_type} is no standard operator")
    del graph.node[:]
    graph.node.extend(rewritten)
    for opset in [o for o in model.opset_import if o.domain not in {"", "ai.onnx"}]:
        model.opset_import.remove(opset)


def _spelled_out(
    graph: GraphProto, fused: NodeProto, widths: dict[str, int], precision: str
) -> Iterator[NodeProto]:
    """q (B, N, d), k (B, M, d), v (B, M, s) -> (B, N, s), without scale, by one head."""
    given = {a.name: helper.get_attribute_value(a) for a in fused.attribute}
    if given != {"num_heads": 1, "scale": 1.0} or len(fused.input) != 3:
        raise NotRewritable(f"{fused.name} is attention of another kind: {given}")
    q, k, v = fused.input
    at = f"{fused.name}.{{}}".format
    if v in widths and widths.get(q, widths[v]) < widths[v]:
        # As a fresh trace has it: most fused attention of GPUs wants equal widths.
        graph.initializer.append(_pads(at("pads"), widths[v] - widths[q]))
        for name in (q, k):
            yield helper.make_node("Pad", [name, at("pads")], [f"{name}.wide"], f"{name}.wide")
        q, k = f"{q}.wide", f"{k}.wide"
    yield helper.make_node("Transpose", [k], [at("turned")], at("turned"), perm=[0, 2, 1])
    yield helper.make_node("MatMul", [q, at("turned")], [at("logits")], at("logits"))
    logits, shares = at("logits"), at("shares")
    if precision == "fp16":
        logits, shares = f"{logits}.exact", f"{shares}.exact"
        yield helper.make_node("Cast", [at("logits")], [logits], logits, to=TensorProto.FLOAT)
    yield helper.make_node("Softmax", [logits], [shares], shares, axis=-1)
    if precision == "fp16":
        yield helper.make_node("Cast", [shares], [at("shares")], at("cast"), to=TensorProto.FLOAT16)
    yield helper.make_node("MatMul", [at("shares"), v], list(fused.output), at("recalled"))


def _pads(name: str, more: int) -> TensorProto:
    """Of the last of three axes, at its end."""
    return numpy_helper.from_array(np.array([0, 0, 0, 0, 0, more], np.int64), name)


def _widths(model: ModelProto) -> dict[str, int]:
    """The last axis of each tensor, where it is known."""
    infos = shape_inference.infer_shapes(model, data_prop=True).graph.value_info
    axes = {info.name: info.type.tensor_type.shape.dim for info in infos}
    return {name: dim[-1].dim_value for name, dim in axes.items() if dim and dim[-1].dim_value}
