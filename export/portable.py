"""Rewrite an artefact for ONNX Runtime as a graph of standard operators, without torch.

Stored weights become plain float32 weights, quantised tensors the tensors that were quantised, and
ONNX Runtime's fused attention two products and a softmax; ``half`` then converts the graph to
float16. The result computes what a fresh trace of the same weights would compute.
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
    """Return a copy of an artefact that uses standard operators only, and its spec.

    It computes in ``precision`` (fp32 or fp16). Raises NotRewritable if the graph contains
    something unknown, BeyondHalf if float16 cannot hold a weight, SpecError if there is no spec.
    """
    spec = described.read_spec(model)
    rewritten = ModelProto()
    rewritten.CopyFrom(model)
    del rewritten.graph.value_info[:]  # it describes tensors that are removed
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
        raise NotRewritable(f"A graph rounded to fp16 does not become {precision} again.")


def _drop_levels(graph: GraphProto) -> None:
    """Remove quantisation in place: readers of a dequantised tensor read the original one.

    Raises NotRewritable if a node is quantised in another way.
    """
    levels = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "QuantizeLinear"}
    pairs = [n for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] in levels]
    exact = {node.output[0]: levels[node.input[0]] for node in pairs}
    gone = {*levels, *exact}
    kept = [node for node in graph.node if node.output[0] not in gone]
    for node in kept:
        node.input[:] = [exact.get(name, name) for name in node.input]
    if left := [n for n in kept if n.op_type in ("QuantizeLinear", "DequantizeLinear")]:
        raise NotRewritable(f"{left[0].name} quantises in a way that is not known here.")
    del graph.node[:]
    graph.node.extend(kept)


def _plain_attention(model: ModelProto, precision: str) -> None:
    """Replace fused attention in place with two products and a softmax in float32.

    ``precision`` is the graph's. Raises NotRewritable if another operator is not standard.
    """
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
        name = f"{foreign[0].domain}::{foreign[0].op_type}"
        raise NotRewritable(f"{name} is not a standard operator.")
    del graph.node[:]
    graph.node.extend(rewritten)
    for opset in [o for o in model.opset_import if o.domain not in {"", "ai.onnx"}]:
        model.opset_import.remove(opset)


def _spelled_out(
    graph: GraphProto, fused: NodeProto, widths: dict[str, int], precision: str
) -> Iterator[NodeProto]:
    """Yield the nodes of attention: q (B, N, d), k (B, M, d), v (B, M, s) -> (B, N, s).

    It has one head and no scale. Raises NotRewritable for any other attention.
    """
    given = {a.name: helper.get_attribute_value(a) for a in fused.attribute}
    if given != {"num_heads": 1, "scale": 1.0} or len(fused.input) != 3:
        raise NotRewritable(f"{fused.name} is attention of another kind ({given}).")
    q, k, v = fused.input
    at = f"{fused.name}.{{}}".format
    if v in widths and widths.get(q, widths[v]) < widths[v]:
        # As in a fresh trace: most fused attention kernels of GPUs need equal widths.
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
    """Return the pads that append ``more`` zeros to the last of three axes."""
    return numpy_helper.from_array(np.array([0, 0, 0, 0, 0, more], np.int64), name)


def _widths(model: ModelProto) -> dict[str, int]:
    """Return the size of the last axis of each tensor for which it is known."""
    infos = shape_inference.infer_shapes(model, data_prop=True).graph.value_info
    axes = {info.name: info.type.tensor_type.shape.dim for info in infos}
    return {name: dim[-1].dim_value for name, dim in axes.items() if dim and dim[-1].dim_value}
