"""Which tensors of a float32 graph become float16, and where float32 stays."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

from export.half import NotRewritable, to_half

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


def graph(*nodes: NodeProto, out: str, **constants: np.ndarray) -> ModelProto:
    """A graph from ``x`` (2, 3, 4, 4) to ``out``, of any four axes."""
    x = helper.make_tensor_value_info("x", FLOAT, [2, 3, 4, 4])
    y = helper.make_tensor_value_info(out, FLOAT, [None] * 4)
    held = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    made = helper.make_graph(list(nodes), "graph", [x], [y], held)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def node(kind: str, given: str, made: str, **attributes: object) -> NodeProto:
    return helper.make_node(kind, given.split(), made.split(), made, **attributes)


def halved(model: ModelProto) -> dict[str, int]:
    """The type of each tensor once the graph is rewritten; it must still run."""
    to_half(model)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (result,) = session.run(None, {"x": np.ones((2, 3, 4, 4), np.float16)})
    assert result.dtype == np.float16 and np.isfinite(result).all()
    inferred = shape_inference.infer_shapes(model).graph
    infos = (*inferred.value_info, *inferred.input, *inferred.output)
    return {info.name: info.type.tensor_type.elem_type for info in infos}


def test_a_mean_and_what_is_computed_of_it_stay_exact() -> None:
    ratio = np.array(1e6, np.float32)  # beyond float16, where only an island may hold it
    types = halved(
        graph(
            node("Relu", "x", "relu"),
            node("ReduceMean", "relu", "mean", keepdims=1),
            node("Div", "mean ratio", "share"),
            node("Mul", "share ratio", "back"),
            node("Add", "back relu", "y"),
            out="y",
            ratio=ratio,
        )
    )
    exact = {name for name, kind in types.items() if kind == FLOAT}
    assert exact == {"relu.exact", "mean", "share", "back"}
    assert types["x"] == types["relu"] == types["back.half"] == types["y"] == HALF


def test_what_leaves_an_island_as_the_graphs_output_is_half() -> None:
    types = halved(graph(node("Softmax", "x", "y", axis=-1), out="y"))
    assert (types["x.exact"], types["y.exact"], types["y"]) == (FLOAT, FLOAT, HALF)


def test_scales_of_a_resize_are_float32_by_the_standard() -> None:
    scales = np.array([1, 1, 2, 2], np.float32)
    model = graph(node("Resize", "x none scales", "y"), out="y", scales=scales)
    model.graph.node[0].input[1] = ""
    assert halved(model)["y"] == HALF
    held = {i.name: i.data_type for i in model.graph.initializer}
    assert held == {"scales": FLOAT} and model.graph.node[0].input[2] == "scales"


def test_shares_meet_values_in_half_and_constants_pool_in_float32() -> None:
    types = halved(
        graph(
            node("Softmax", "x", "shares", axis=-1),
            node("MatMul", "shares x", "recalled"),
            node("MatMul", "recalled pool", "pooled"),
            node("Relu", "pooled", "y"),
            out="y",
            pool=np.full((4, 2), 0.25, np.float32),
        )
    )
    assert (types["shares"], types["recalled"]) == (FLOAT, HALF)
    assert (types["recalled.exact"], types["pooled"], types["pooled.half"]) == (FLOAT, FLOAT, HALF)


def test_positions_are_exact_back_to_their_convolution() -> None:
    types = halved(
        graph(
            node("Conv", "x weight", "flow"),
            node("Relu", "flow", "bent"),
            node("Transpose", "bent", "grid", perm=[0, 2, 3, 1]),
            node("GridSample", "x grid", "sampled"),
            node("Relu", "sampled", "y"),
            out="y",
            weight=np.zeros((2, 3, 1, 1), np.float32),
        )
    )
    assert types["flow"] == HALF
    assert {types[name] for name in ("flow.exact", "bent", "grid", "sampled")} == {FLOAT}


def test_float32_that_a_node_makes_by_itself_is_not_rewritten() -> None:
    made = helper.make_tensor("", FLOAT, [1], [0.5])
    model = graph(node("Constant", "", "half", value=made), node("Add", "x half", "y"), out="y")
    del model.graph.node[0].input[:]
    before = model.SerializeToString()
    with pytest.raises(NotRewritable, match="Constant half"):
        to_half(model)
    assert model.SerializeToString() == before


@pytest.mark.parametrize("kind", ["Sqrt", "Exp", "Reciprocal", "Softplus"])
def test_arithmetic_that_is_not_known_is_not_rewritten_behind_an_island(kind: str) -> None:
    model = graph(node("ReduceMean", "x", "mean", keepdims=1), node(kind, "mean", "y"), out="y")
    before = model.SerializeToString()
    with pytest.raises(NotRewritable, match=f"{kind} y of float32"):
        to_half(model)
    assert model.SerializeToString() == before
    assert halved(graph(node(kind, "x", "y"), out="y"))["y"] == HALF


def test_what_only_depends_on_an_island_by_its_choice_is_half() -> None:
    types = halved(
        graph(
            node("ReduceMean", "x", "mean", keepdims=1),
            node("Greater", "mean least", "chosen"),
            node("Relu", "x", "relu"),
            node("Where", "chosen relu x", "y"),
            out="y",
            least=np.array(0.5, np.float32),
        )
    )
    assert (types["mean"], types["relu"], types["y"]) == (FLOAT, HALF, HALF)
