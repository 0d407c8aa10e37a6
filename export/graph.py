"""Trace the served graph from a network, as ONNX."""

from __future__ import annotations

import json
import logging
import warnings
from typing import Any

import onnx
import torch
from onnx import ModelProto, numpy_helper
from torch import Tensor, nn

from models.artefact import RECIPE_KEY, is_served
from models.build import Recipe
from models.layers import fold_norms
from models.memory import PCMA, Attend, Attends, attend
from models.segmenter import Segmenter
from models.spec import METADATA_KEY, ModelSpec

OPSET = 20


def fused_attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Compute attention with ONNX Runtime's fused operator, without an (N x TN) matrix in memory.

    Shapes as for :data:`models.memory.Attend`.
    """
    attributes: dict[str, Any] = {"num_heads": 1, "scale": 1.0}
    fused: Tensor = torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention",
        (q, k, v),
        attributes,
        dtype=v.dtype,
        shape=(*q.shape[:2], v.shape[2]),
        version=1,
    )
    return fused


def portable_attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Compute attention with standard operators only; the softmax is in float32.

    Shapes as for :data:`models.memory.Attend`.
    """
    logits = torch.matmul(q, k.transpose(1, 2))
    return torch.matmul(logits.float().softmax(dim=-1).to(v.dtype), v)


ATTENTION: dict[str, Attend] = {
    "fused": fused_attend,
    "portable": portable_attend,
}


def names(spec: ModelSpec) -> tuple[list[str], list[str]]:
    """Return the names of the graph's inputs and outputs; both sort in the same order."""
    keys = [m.key_name for m in spec.memory]
    values = [m.value_name for m in spec.memory]
    held = ["count", *keys, *values]
    return ["frame", *held], ["mask", *(f"{name}_out" for name in held)]


def example(network: Segmenter, spec: ModelSpec, batch: int = 2) -> tuple[Tensor, ...]:
    """Return inputs of the right shapes and types, with a full memory of zeros."""
    like = next(network.head.parameters())
    frame = torch.zeros(batch, spec.height, spec.width, 3, dtype=torch.uint8)
    memory = network.encoder.blank(batch, spec.height, spec.width, like)
    count = memory.count + spec.memory_frames
    return frame, count, *(f.key for f in memory.fifos), *(f.value for f in memory.fifos)


def trace(network: Segmenter, recipe: Recipe, spec: ModelSpec, attention: str) -> ModelProto:
    """Return the graph of ``network`` with the spec's size, a dynamic batch, and its metadata.

    ``attention`` is a key of ATTENTION. The network is changed in place: its norms are folded, and
    if the spec's precision is fp16 it is converted to float16. Raises ValueError if float16 cannot
    hold a weight.
    """
    network.eval()
    fold_norms(network)
    if spec.precision == "fp16":
        network.to_half()
    inputs, outputs = names(spec)
    arguments = example(network, spec)
    batch = torch.export.Dim("batch", min=1, max=1024)
    shapes = tuple({0: batch} for _ in arguments)
    _attend_by(network, ATTENTION[attention], narrow=attention == "fused")
    try:
        # The memory's tensors are one variadic argument, which a plain network does not have.
        memory = (shapes[2:],) if shapes[2:] else ()
        program = _export(network, arguments, inputs, outputs, (*shapes[:2], *memory))
    finally:
        _attend_by(network, attend)
    model = program.model_proto
    _keep_names(model, network)
    _describe(model, recipe, spec)
    onnx.checker.check_model(model)
    return model


def _export(
    network: Segmenter,
    arguments: tuple[Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    shapes: tuple[object, ...],
) -> torch.onnx.ONNXProgram:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter warns about its own internals; its result is verified afterwards.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            arguments,
            dynamo=True,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=shapes,
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    return program


def _attend_by(network: nn.Module, function: Attend, narrow: bool = False) -> None:
    """Set the function that computes attention.

    ``narrow`` pads keys only to the next multiple of 8, for kernels that are as fast with keys
    and values of unequal widths.
    """
    for module in network.modules():
        if isinstance(module, Attends):
            module.attend = function
        if isinstance(module, PCMA):
            module.attended_width = module.width
            if narrow:
                module.attended_width = min(module.width, -(-(module.key_width + 1) // 8) * 8)


def _keep_names(model: ModelProto, network: Segmenter) -> None:
    """Add the weights that the exporter merged because they are equal, or dropped as zeros.

    An artefact can be exported again, which needs every weight under its own name.
    """
    held = {initialiser.name for initialiser in model.graph.initializer}
    for name, tensor in network.state_dict().items():
        if name not in held and is_served(name):
            model.graph.initializer.append(numpy_helper.from_array(tensor.numpy(), name))


def _describe(model: ModelProto, recipe: Recipe, spec: ModelSpec) -> None:
    """Write spec and recipe into the metadata, and remove traces of the exporting machine."""
    held = {METADATA_KEY: spec.to_json(), RECIPE_KEY: json.dumps(recipe.to_dict())}
    del model.metadata_props[:]
    for key, value in held.items():
        model.metadata_props.add(key=key, value=value)
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.metadata_props[:]
    for info in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del info.metadata_props[:]
