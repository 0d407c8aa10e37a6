"""Convolutions in int8: which stay in float, how a file describes itself, and what it computes."""

from __future__ import annotations

import asyncio
from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from av.video.frame import VideoFrame
from onnx import ModelProto, TensorProto, helper, numpy_helper
from small_networks import lively, save

from export import qdq, quantise, to_onnx, verify
from export.clips import EVERY, LENGTH, Clip, FootageError, read_clips
from export.ranges import LEVELS, Range, fit, rounded
from export.storage import restore
from models import artefact, backbone
from models.build import HEADS, Recipe, build
from models.segmenter import Segmenter
from models.spec import ModelSpec
from server.engines.onnx_rt import OnnxEngine

pytestmark = pytest.mark.usefixtures("small_networks")

SIZE = (64, 96)
KEPT = {
    "encoder.trunk.conv1",
    "encoder.pcma.4.key_conv",
    "head.classify",
}
KEPT_BY = {
    ("deeplabv3plus", "resnet50"): 2,
    ("pspnet", "resnet50"): 2,
    ("pspnet1024", "resnet50"): 2,
    ("sfnet", "resnet50"): 5,
    ("dnlnet", "resnet50"): 5,
    ("deeplabv3plus", "ma-resnet50_vd"): 3,
}
"""How many convolutions stay in float32: the first, the last, and those that make keys, flows and
what else is sensitive."""

SPEC = {
    "name": "any",
    "head": "deeplabv3plus",
    "backbone": "resnet50",
    "classes": [{"name": "one", "colour": [0, 0, 0]}],
    "height": SIZE[0],
    "width": SIZE[1],
    "output_stride": 32,
    "memory": [],
    "memory_frames": 0,
    "memory_horizon": 0,
    "preset": "default",
    "mean": [0, 0, 0],
    "std": [1, 1, 1],
}


def train(path: Path, recipe: Recipe) -> Path:
    """A checkpoint whose norms are not the identity and whose masks show two classes."""
    network = lively(recipe)
    _balance(network)
    return save(path, recipe, network)


@torch.no_grad()
def _balance(network: Segmenter) -> None:
    """Two classes, each as likely as the other: with weights that mean nothing, more would lie too
    close together."""
    frame = footage(ModelSpec.from_dict(SPEC), 1)[0][0]
    memory = network.encoder.blank(1, *SIZE, torch.ones(1))
    logits, _ = network.logits(network.normalise(torch.from_numpy(frame[None])), memory)
    classify = network.head.get_submodule("classify")
    assert isinstance(classify, torch.nn.Conv2d) and classify.bias is not None
    spread, mean = torch.std_mean(logits, dim=(0, 2, 3))
    classify.weight /= spread[:, None, None, None]
    classify.bias.copy_((classify.bias - mean) / spread)
    classify.bias[2:] -= 100


def footage(spec: ModelSpec, clips: int = 2) -> list[Clip]:
    frames = asyncio.run(verify.read_frames(spec, None, clips * LENGTH))
    return [frames[start : start + LENGTH] for start in range(0, len(frames), LENGTH)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quantise")


@pytest.fixture(scope="module")
def exact(folder: Path) -> Path:
    """The artefact in float32, its weights stored as int8, as it is shipped."""
    trained = train(folder / "trained.pt", Recipe(output_stride=32))
    to_onnx.export(trained, folder / "exact.onnx", SIZE, weights="int8")
    return folder / "exact.onnx"


@pytest.fixture(scope="module")
def pictures(folder: Path) -> Path:
    """A folder of enough pictures for three clips, at another size than the model's."""
    (folder / "pictures").mkdir()
    spec = ModelSpec.from_dict(SPEC | {"height": 80, "width": 120})
    frames = asyncio.run(verify.read_frames(spec, None, 2 * EVERY + LENGTH))
    for index, frame in enumerate(frames):
        cv2.imwrite(str(folder / "pictures" / f"{index:03}.png"), frame[:, :, ::-1])
    return folder / "pictures"


@pytest.fixture(scope="module")
def quantised(exact: Path, pictures: Path) -> Path:
    """By the command."""
    out = exact.with_name("int8.onnx")
    asked = [str(exact), "--calibrate", str(pictures), "-o", str(out), "--clips", "1"]
    assert quantise.main(asked) == 0
    return out


def test_the_file_says_what_it_computes_in(quantised: Path, exact: Path) -> None:
    spec, before = (artefact.read_spec(artefact.read(path)) for path in (quantised, exact))
    assert (spec.precision, spec.weights) == ("int8", "int8")
    assert (before.precision, before.weights) == ("fp32", "int8")
    assert before.unpacks_weights and not spec.unpacks_weights
    assert spec.fingerprint == before.fingerprint
    assert spec.memory_bytes == before.memory_bytes, "memory stays in float32"


def test_all_but_the_sensitive_convolutions_are_in_int8(quantised: Path) -> None:
    model = artefact.read(quantised)
    held = {initialiser.name: initialiser for initialiser in model.graph.initializer}
    convolutions = [node.input[1] for node in model.graph.node if node.op_type == "Conv"]
    quantised_ones = [name for name in convolutions if f"{name}.int8" in held]
    kept = {name.removesuffix(".weight") for name in convolutions if name not in quantised_ones}
    assert kept == KEPT
    for name in convolutions:
        if name in quantised_ones:
            levels = numpy_helper.to_array(held[f"{name}.int8"])
            assert levels.dtype == np.int8 and np.abs(levels).max() <= qdq.WEIGHT_LIMIT


def test_onnx_runtime_makes_integer_kernels_of_it(quantised: Path) -> None:
    kinds = optimised(quantised)
    convolutions = sum(n.op_type == "Conv" for n in artefact.read(quantised).graph.node)
    assert kinds["QLinearConv"] == convolutions - len(KEPT)
    assert kinds["QLinearAdd"] == sum(backbone.BLOCKS), "one for each block of the trunk"


def optimised(path: Path) -> Counter[str]:
    """Operators of the graph that ONNX Runtime truly runs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(path.with_suffix(".optimised.onnx"))
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(path.with_suffix(".optimised.onnx")).graph.node
    return Counter(node.op_type for node in nodes)


def test_the_engine_serves_it(quantised: Path, exact: Path) -> None:
    masks = []
    for path in (quantised, exact):
        engine = OnnxEngine(path, max_batch=2)
        memory, frames = engine.blank(), footage(engine.spec, 1)[0]
        for frame in frames:
            (mask,), (memory,) = engine.step([frame], [memory])
        assert engine.filled(memory) == 2
        masks.append(mask)
    assert 0.1 < masks[1].mean() < 0.9, "or agreement would mean nothing"
    assert (masks[0] == masks[1]).mean() > 0.9


def test_it_is_a_source_of_float32_again(quantised: Path, exact: Path, folder: Path) -> None:
    spec = to_onnx.export(quantised, folder / "again.onnx", SIZE)
    assert (spec.precision, spec.weights) == ("fp32", "fp32")
    again, _, _ = artefact.load(folder / "again.onnx")
    before, _, _ = artefact.load(exact)
    for name, weight in before.state_dict().items():
        if weight.is_floating_point():
            error = (again.state_dict()[name] - weight).abs().max()
            assert error <= 0.31 * weight.abs().max() + 1e-4, name
    assert all(check.held for check in verify.verify(folder / "again.onnx", quantised, None, 2))


@pytest.mark.parametrize(
    ("head", "encoder", "attention"),
    [
        *((head, "resnet50", "fused") for head in HEADS),
        ("deeplabv3plus", "ma-resnet50_vd", "portable"),
    ],
)
def test_every_kind_of_network_can_be_quantised(
    tmp_path: Path, head: str, encoder: str, attention: str
) -> None:
    recipe = Recipe(head, encoder, output_stride=32)
    save(tmp_path / "n.pt", recipe, build(recipe))
    spec = to_onnx.export(tmp_path / "n.pt", tmp_path / "n.onnx", SIZE, attention=attention)
    clips = footage(spec, 1)
    found = quantise.quantise(tmp_path / "n.onnx", tmp_path / "out.onnx", clips)
    assert found.precision == "int8" and found.memory == spec.memory
    kinds = optimised(tmp_path / "out.onnx")
    convolutions = sum(n.op_type == "Conv" for n in artefact.read(tmp_path / "out.onnx").graph.node)
    kept = KEPT_BY[head, encoder]
    assert (kinds["QLinearConv"], kinds["Conv"]) == (convolutions - kept, kept)
    streams, *poisoned = verify.checks(tmp_path / "out.onnx", None, clips[0])[1:]
    assert streams.held and all(check.held for check in poisoned)


def test_verify_fails_where_too_much_was_lost(
    exact: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qdq, "WEIGHT_LIMIT", 1)
    clips = footage(artefact.read_spec(artefact.read(exact)), 1)
    quantise.quantise(exact, folder / "coarse.onnx", clips)
    against = verify.checks(folder / "coarse.onnx", exact, clips[0])[1]
    assert exact.name in against.name and not against.held


def test_wrong_requests_end_in_one_sentence(
    exact: Path, quantised: Path, pictures: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "empty").mkdir()
    out = ["-o", str(folder / "never.onnx")]
    asked = [
        [str(exact), "--calibrate", str(folder / "absent")],
        [str(exact), "--calibrate", str(folder / "empty")],
        [str(exact), "--calibrate", str(exact)],
        [str(quantised), "--calibrate", str(pictures)],
        [str(exact), "--calibrate", str(pictures), "--keep", "nothing so named"],
        [str(exact), "--calibrate", str(pictures), "--keep", "("],
        [str(exact), "--calibrate", str(pictures), "--keep", "."],
        [str(folder / "absent.onnx"), "--calibrate", str(pictures)],
    ]
    for arguments in asked:
        assert quantise.main([*arguments, *out]) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == len(asked) and all(line.startswith("quantise: ") for line in told)
    assert not (folder / "never.onnx").exists()


def test_clips_are_spread_over_a_folder(pictures: Path) -> None:
    spec = ModelSpec.from_dict(SPEC)
    clips = read_clips(pictures, spec, 8)
    assert [len(clip) for clip in clips] == [LENGTH] * 3
    assert all(frame.shape == (*SIZE, 3) for clip in clips for frame in clip)
    assert len(read_clips(pictures, spec, 1)) == 1


def test_clips_are_spread_over_a_video(tmp_path: Path) -> None:
    with av.open(tmp_path / "film.mkv", "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "bgr0"
        stream.codec_context.time_base = Fraction(1, 25)
        for index in range(EVERY + 2):
            pixels = np.full((32, 48, 3), 5 * index, np.uint8)
            frame = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="bgr0")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clips = read_clips(tmp_path / "film.mkv", ModelSpec.from_dict(SPEC), 8)
    shades = [[int(frame.mean()) for frame in clip] for clip in clips]
    assert shades == [[0, 5, 10, 15], [5 * EVERY, 5 * EVERY + 5]]


def test_a_picture_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(b"no picture")
    with pytest.raises(FootageError, match=r"torn\.png"):
        read_clips(tmp_path, ModelSpec.from_dict(SPEC), 1)


def test_a_range_holds_zero_exactly() -> None:
    of = fit(np.linspace(-0.7, 2.1, 1000, dtype=np.float32))
    assert of.low < 0 < of.high and 0 < of.zero_point < LEVELS
    assert rounded(np.zeros(1, np.float32), of) == 0
    assert fit(np.linspace(0.5, 2, 100, dtype=np.float32)).zero_point == 0
    assert fit(np.zeros(10, np.float32)).scale > 0


def test_a_lone_large_value_is_clipped() -> None:
    values = np.abs(np.random.default_rng(0).normal(size=100_000)).astype(np.float32)
    values[0] = 12
    of, whole = fit(values), Range(0, 12)
    assert values[1:].max() < of.high < 12
    errors = [float(np.square(rounded(values, r) - values).mean()) for r in (of, whole)]
    assert errors[0] < errors[1]


def chain(weight: np.ndarray, bias: np.ndarray) -> ModelProto:
    """x -> Conv -> ReLU -> MaxPool -> y."""
    nodes = [
        helper.make_node("Conv", ["x", "a.weight", "a.bias"], ["c"], "conv"),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("MaxPool", ["r"], ["y"], "pool", kernel_shape=[2, 2]),
    ]
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, None, None, None]) for n in "xy"
    ]
    held = [numpy_helper.from_array(weight, "a.weight"), numpy_helper.from_array(bias, "a.bias")]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def compute(model: ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (y,) = session.run(None, {"x": x})
    return np.asarray(y)


def test_a_channel_without_weights_keeps_its_bias() -> None:
    """Its scale would be so small that no int32 held the bias."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, 3, 1, 1)).astype(np.float32)
    weight[1] = 1e-14
    bias = np.array([0.5, 3.0, 0.5, 0.5], np.float32)
    model, x = chain(weight, bias), rng.random((1, 3, 8, 8), np.float32)
    exact = compute(model, x)
    plan = qdq.plan(model.graph, set())
    assert (plan.convolutions, plan.tensors) == (["conv"], ["x", "r"])
    assert plan.carried == {"y": "r"}
    qdq.rewrite(model, plan, {"x": Range(0, 1), "r": Range(0, float(exact.max()))})
    np.testing.assert_allclose(compute(model, x), exact, atol=0.05)


def test_pooling_before_relu_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, 3, 1, 1)).astype(np.float32)
    model, x = chain(weight, np.zeros(4, np.float32)), rng.normal(size=(1, 3, 8, 8))
    x = x.astype(np.float32)
    exact = compute(model, x)
    qdq.pool_first(model.graph, set())
    assert [node.op_type for node in model.graph.node] == ["Conv", "Relu", "MaxPool"]
    qdq.pool_first(model.graph, {"conv"})
    assert [node.op_type for node in model.graph.node] == ["Conv", "MaxPool", "Relu"]
    np.testing.assert_array_equal(compute(model, x), exact)


def test_a_shared_weight_is_left_alone() -> None:
    weight = np.ones((3, 3, 1, 1), np.float32)
    model = chain(weight, np.zeros(3, np.float32))
    assert qdq.shared(model.graph) == set()
    model.graph.node[2].CopyFrom(
        helper.make_node("Conv", ["r", "a.weight", "a.bias"], ["y"], "again")
    )
    assert qdq.shared(model.graph) == {"conv", "again"}


def test_storage_is_undone(exact: Path) -> None:
    model = artefact.read(exact)
    network, _, _ = artefact.load(exact)
    restore(model)
    assert not any(node.op_type == "DequantizeLinear" for node in model.graph.node)
    held = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    for name, weight in network.state_dict().items():
        if name.endswith("weight"):
            np.testing.assert_array_equal(held[name], weight.numpy())
