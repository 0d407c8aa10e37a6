"""An artefact for ONNX Runtime is rewritten to standard operators, in float32 and float16."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from fake_builds import SIZE, pictures
from fake_cuda import FakeCuda
from fake_tensorrt import FakeTensorRt
from onnx import ModelProto, helper, numpy_helper, shape_inference

from export import comparing, runners, to_trt
from export.half import BeyondHalf, NotRewritable
from export.portable import rewrite
from export.to_onnx import export
from export.to_trt_build import BuildOptions
from export.to_trt_graph import prepare
from models import described, source
from models.plan import BatchRange, Machine, description_path
from models.spec import ModelSpec
from server.engines.onnx_rt import OnnxEngine
from server.engines.tensor_rt import TensorRtEngine
from server.errors import Fault
from server.plans.trial import VerifiedEngine, agreement, follow
from server.plans.wanted import PlanRequest, find_plan
from server.workers.succession import is_compatible

pytestmark = pytest.mark.usefixtures("small_networks")

ROOT = Path(__file__).resolve().parents[2]


def kinds(model: ModelProto) -> Counter[tuple[str, int]]:
    """Return how often each operator occurs in a graph, by the type of its output, without
    casts."""
    graph = shape_inference.infer_shapes(model).graph
    infos = (*graph.value_info, *graph.output)
    types = {info.name: info.type.tensor_type.elem_type for info in infos}
    exact = {"MatMul", "Softmax", "ReduceMean", "Sub", "Div", "Mul", "Add", "Conv", "Resize"}
    return Counter((n.op_type, types[n.output[0]]) for n in graph.node if n.op_type in exact)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_it_computes_what_its_network_computes(exported: Path, precision: str) -> None:
    model = described.read(exported)
    before = model.SerializeToString()
    rewritten, spec = rewrite(model, precision)
    assert model.SerializeToString() == before
    assert (spec.precision, spec.weights) == (precision, precision)
    assert described.read_spec(rewritten) == spec
    assert {node.domain for node in rewritten.graph.node} == {""}
    onnx.checker.check_model(rewritten, full_check=True)
    runner = runners.Runner(rewritten.SerializeToString(), spec)
    network = runners.TorchRunner(source.load(exported)[0])
    tolerance = comparing.TOLERANCES[precision]
    check = comparing.compare_clip(runner, network, spec, pictures(4), "it", tolerance)
    assert check.held, check.detail
    assert comparing.compare_batch(runner, spec, pictures(3)).held
    assert comparing.compare_poisoned(runner, spec, pictures(3)).held


def test_it_is_as_precise_as_a_fresh_trace(
    exported: Path, plain: tuple[ModelProto, ModelSpec]
) -> None:
    rewritten, _ = rewrite(described.read(exported), "fp16")
    assert kinds(rewritten) == kinds(plain[0])


def test_fused_attention_in_float16_has_its_softmax_in_float32(
    trained: Path, plain: tuple[ModelProto, ModelSpec], tmp_path: Path
) -> None:
    spec = export(trained, tmp_path / "half.onnx", SIZE, precision="fp16")
    rewritten, _ = rewrite(described.read(tmp_path / "half.onnx"), "fp16")
    assert kinds(rewritten) == kinds(plain[0])
    runner = runners.Runner(rewritten.SerializeToString(), spec)
    network = runners.TorchRunner(source.load(trained)[0])
    check = comparing.compare_clip(
        runner, network, spec, pictures(3), "it", comparing.TOLERANCES["fp16"]
    )
    assert check.held, check.detail


def planned(model: Path, folder: Path, device: FakeCuda, module: FakeTensorRt) -> Path:
    """The fp16 plan of a model, as export/to_trt.py leaves it; to the fake it is the graph."""
    here = Machine(device.name, device.capability, module.__version__)
    graph = prepare(model, "fp16", None)
    told = to_trt.describe(model, graph, here, BuildOptions(BatchRange(1, 1, 2)), triton=False)
    built = to_trt.plan_path(folder, told)
    built.write_bytes(graph.content)
    description_path(built).write_text(told.to_json())
    return built


def test_the_server_finds_its_plan_and_the_engine_answers_as_the_one_before(
    exported: Path, tmp_path: Path
) -> None:
    device = FakeCuda()
    module = FakeTensorRt(device)
    built = planned(exported, tmp_path, device, module)
    before = OnnxEngine(exported, max_batch=2, threads=1)
    request = PlanRequest(exported, before.spec, tmp_path, "fp16", 2, 0)
    here = Machine(device.name, device.capability, module.__version__)
    assert find_plan(request, here) == built
    after = TensorRtEngine(built, device, max_batch=2, tensorrt=module)
    assert is_compatible(before.spec, after.spec) and after.spec.precision == "fp16"
    assert agreement(follow(before, pictures(4)), follow(after, pictures(4))) > 0.99


def with_weight(path: Path, value: float) -> str:
    """Put ``value`` among a convolution's weights in a model's trunk; returns their name."""
    graph = onnx.load(path)
    (held,) = (w for w in graph.graph.initializer if "layer2.0.conv1.weight" in w.name)
    weights = numpy_helper.to_array(held).copy()
    weights.flat[0] = value
    held.CopyFrom(numpy_helper.from_array(weights, held.name))
    onnx.save(graph, path)
    return held.name


def test_a_weight_beyond_float16_is_named(trained: Path, tmp_path: Path) -> None:
    model = tmp_path / "large.onnx"
    export(trained, model, SIZE, weights="fp32")
    name = with_weight(model, 1e5)
    with pytest.raises(BeyondHalf, match=f"{name} goes up to 100000, beyond float16; use fp32."):
        prepare(model, "fp16", None)
    network = source.load(model)[0]
    with pytest.raises(ValueError, match=f"{name} is beyond float16"):
        network.to_half()


def test_a_plan_whose_sums_overflow_float16_is_found_out(exported: Path, tmp_path: Path) -> None:
    device = FakeCuda()
    module = FakeTensorRt(device)
    built = planned(exported, tmp_path, device, module)
    # The sum that would be: on a CPU, ONNX Runtime computes float16 in float32.
    with_weight(built, np.inf)
    tried = VerifiedEngine(
        lambda: TensorRtEngine(built, device, max_batch=2, tensorrt=module),
        lambda: OnnxEngine(exported, max_batch=1, threads=1),
    )
    with pytest.raises(Fault, match="memory overflows fp16"):
        tried()


def test_what_is_not_known_is_not_rewritten(exported: Path) -> None:
    model = described.read(exported)
    (first, *_) = (n for n in model.graph.node if n.op_type == "MultiHeadAttention")
    first.attribute.extend([helper.make_attribute("mask_filter_value", -1.0)])
    with pytest.raises(NotRewritable, match="attention of another kind"):
        rewrite(model, "fp32")
    first.op_type = "Attention"
    with pytest.raises(NotRewritable, match="microsoft::Attention"):
        rewrite(model, "fp32")


def test_a_plans_graph_is_prepared_without_torch(exported: Path) -> None:
    text = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from export import to_trt\n"
        "from export.to_trt_graph import prepare\n"
        "print(prepare(Path(sys.argv[1]), 'fp16', None).precision, len(to_trt.parser().prog))"
    )
    done = subprocess.run(
        [sys.executable, "-c", text, str(exported)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split()[:1] == ["fp16"], done.stderr
