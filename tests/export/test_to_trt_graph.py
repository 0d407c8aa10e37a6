"""The graph for TensorRT, run by ONNX Runtime: its content, and that it computes the same."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from fake_builds import SIZE, pictures
from onnx import ModelProto, TensorProto, helper, numpy_helper, shape_inference

import export.graph
from export import comparing, runners
from export.graph import names
from export.to_trt_graph import GraphError, TrtGraph, columns, prepare
from models import source
from models.spec import METADATA_KEY, ModelSpec

pytestmark = pytest.mark.usefixtures("small_networks")


def types(model: ModelProto) -> dict[str, int]:
    """The element type of every tensor of a graph."""
    graph = shape_inference.infer_shapes(model).graph
    infos = (*graph.value_info, *graph.input, *graph.output)
    held = {info.name: info.type.tensor_type.elem_type for info in infos}
    return held | {i.name: i.data_type for i in graph.initializer}


def run_both(
    one: runners.Steps, other: runners.Steps, spec: ModelSpec, column: bool = False
) -> bool:
    """Whether two graphs answer a clip bit for bit alike."""
    ours, theirs = runners.blank(spec, 1), runners.blank(spec, 1)
    if column:
        ours[0] = ours[0][:, None]
    alike = []
    for picture in pictures(4):
        mask, *ours = one.step([picture[None], *ours])
        wanted, *theirs = other.step([picture[None], *theirs])
        pairs = zip([mask, ours[0].ravel(), *ours[1:]], [wanted, *theirs], strict=True)
        alike += [np.array_equal(a, b) for a, b in pairs]
    return all(alike)


def test_means_and_softmax_are_in_float32_and_the_rest_is_not(graph: TrtGraph) -> None:
    kinds = types(graph.model)
    exact = {"Softmax", "ReduceMean", "ReduceL2"}
    islands = [n for n in graph.model.graph.node if n.op_type in exact]
    assert {n.op_type for n in islands} == exact
    assert {kinds[n.input[0]] for n in islands} == {TensorProto.FLOAT}
    wide = [n for n in graph.model.graph.node if n.op_type in {"Conv", "MatMul"}]
    assert {kinds[name] for n in wide for name in n.input} == {TensorProto.FLOAT16}


def test_it_holds_only_what_the_parser_knows(graph: TrtGraph) -> None:
    assert {node.domain for node in graph.model.graph.node} == {""}
    kinds = types(graph.model)
    assert {name for name, kind in kinds.items() if kind == TensorProto.UINT8} == {
        "frame",
        "mask",
    }
    clips = [n for n in graph.model.graph.node if n.op_type == "Clip"]
    assert clips and {kinds[n.input[0]] for n in clips} == {TensorProto.FLOAT}
    onnx.checker.check_model(graph.model, full_check=True)


def test_the_plain_graph_would_not_do(plain: tuple[ModelProto, ModelSpec]) -> None:
    kinds = types(plain[0])
    assert sum(kind == TensorProto.UINT8 for kind in kinds.values()) == 3


def test_it_answers_as_the_plain_graph(
    plain: tuple[ModelProto, ModelSpec], graph: TrtGraph
) -> None:
    model, spec = plain
    adapted = runners.Runner(graph.content, spec)
    assert run_both(adapted, runners.Runner(model.SerializeToString(), spec), spec)


def test_it_agrees_with_the_network(trained: Path, graph: TrtGraph) -> None:
    network = runners.TorchRunner(source.load(trained)[0])
    runner = runners.Runner(graph.content, graph.spec)
    tolerance = comparing.TOLERANCES["fp16"]
    check = comparing.compare_clip(runner, network, graph.spec, pictures(3), "it", tolerance)
    assert check.held, check.detail


def test_columns_give_count_an_axis_and_change_nothing_else(graph: TrtGraph) -> None:
    changed = columns(graph.model)
    onnx.checker.check_model(changed, full_check=True)
    assert TrtGraph(changed, graph.spec, "fp16").inputs()["count"] == (1,)
    assert [i.name for i in changed.graph.input] == names(graph.spec)[0]
    spec = graph.spec
    runner = runners.Runner(changed.SerializeToString(), spec)
    assert run_both(runner, runners.Runner(graph.content, spec), spec, column=True)


def test_inputs_are_shapes_for_one_stream(graph: TrtGraph) -> None:
    inputs = graph.inputs()
    assert list(inputs) == names(graph.spec)[0]
    assert inputs["frame"] == (*SIZE, 3) and inputs["count"] == ()
    first = graph.spec.memory[0]
    assert inputs[first.key_name] == (2, first.tokens, first.key_width)


@pytest.fixture
def traced(graph: TrtGraph, monkeypatch: pytest.MonkeyPatch) -> list[ModelSpec]:
    """Specs that were traced anew; what comes back is the graph that is there."""
    specs: list[ModelSpec] = []

    def stand_in(network: Any, recipe: Any, spec: ModelSpec, attention: str) -> ModelProto:
        del network, recipe
        assert attention == "portable"
        specs.append(spec)
        return graph.model

    monkeypatch.setattr(export.graph, "trace", stand_in)
    return specs


def test_a_file_that_will_do_is_taken_as_it_is(ready: Path, traced: list[ModelSpec]) -> None:
    taken = prepare(ready, "fp16", None)
    assert (taken.precision, taken.spec.width) == ("fp16", 96)
    assert prepare(ready, "fp16", SIZE).content == taken.content
    assert traced == []


@pytest.mark.parametrize(
    ("precision", "size", "wanted"),
    [("fp32", None, ("fp32", 96)), ("fp16", (96, 128), ("fp16", 128))],
)
def test_of_another_precision_or_size_it_is_the_source(
    ready: Path,
    traced: list[ModelSpec],
    precision: str,
    size: tuple[int, int] | None,
    wanted: tuple[str, int],
) -> None:
    made = prepare(ready, precision, size)
    assert [(s.precision, s.width) for s in traced] == [wanted]
    assert traced[0].weights == precision and made.spec == traced[0]


def test_what_the_rewriting_does_not_know_is_traced_anew(
    ready: Path, traced: list[ModelSpec], tmp_path: Path
) -> None:
    model = onnx.load(ready)
    model.graph.node[-1].domain = "com.microsoft"
    onnx.save(model, tmp_path / "other.onnx")
    prepare(tmp_path / "other.onnx", "fp16", None)
    assert len(traced) == 1


def test_without_torch_it_says_why_it_needs_it(
    ready: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "export.graph", None)
    with pytest.raises(GraphError, match=r"trained.pt must be traced.*mastream\[export\]"):
        prepare(trained, "fp16", None)
    with pytest.raises(GraphError, match="rounded to fp16 does not become fp32"):
        prepare(ready, "fp32", None)


def test_small_weights_are_not_taken_as_they_are(
    ready: Path, traced: list[ModelSpec], tmp_path: Path
) -> None:
    model = onnx.load(ready)
    _shrink(model)
    onnx.save(model, tmp_path / "other.onnx")
    assert prepare(tmp_path / "other.onnx", "fp16", None).spec.weights == "fp16"
    assert traced == []


def test_a_checkpoint_is_traced(trained: Path, traced: list[ModelSpec]) -> None:
    prepare(trained, "fp16", SIZE)
    assert [(s.height, s.width) for s in traced] == [SIZE]


@pytest.mark.parametrize(
    ("kind", "precision"), [(TensorProto.INT8, "int8"), (TensorProto.FLOAT8E4M3FN, "fp8")]
)
def test_a_quantised_graph_is_taken_as_it_is(
    ready: Path, traced: list[ModelSpec], kind: int, precision: str
) -> None:
    _quantise(ready, kind)
    assert prepare(ready, "fp16", None).precision == precision
    with pytest.raises(GraphError, match="leave --size out"):
        prepare(ready, "fp16", (32, 32))
    assert traced == []


def test_levels_that_tensorrt_does_not_know_are_left_out(
    ready: Path, graph: TrtGraph, traced: list[ModelSpec]
) -> None:
    _quantise(ready, TensorProto.UINT8)
    made = prepare(ready, "fp16", None)
    kinds = [node.op_type for node in made.model.graph.node]
    assert made.precision == "fp16" and kinds == [n.op_type for n in graph.model.graph.node]
    assert traced == []


def _shrink(model: ModelProto) -> None:
    (held,) = (entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    held.value = held.value.replace('"weights":"fp16"', '"weights":"int8"')


def _quantise(path: Path, kind: int) -> None:
    """A Q/DQ pair around what the first convolution reads."""
    model = onnx.load(path)
    (first, *_) = (node for node in model.graph.node if node.op_type == "Conv")
    zero = helper.make_tensor("q.zero", kind, [], [0])
    scale = numpy_helper.from_array(np.float16(0.05), "q.scale")
    model.graph.initializer.extend([zero, scale])
    at = list(model.graph.node).index(first)
    steps = [
        helper.make_node("QuantizeLinear", [first.input[0], "q.scale", "q.zero"], ["q.small"]),
        helper.make_node("DequantizeLinear", ["q.small", "q.scale", "q.zero"], ["q.back"]),
    ]
    first.input[0] = "q.back"
    for node in reversed(steps):
        model.graph.node.insert(at, node)
    onnx.save(model, path)
