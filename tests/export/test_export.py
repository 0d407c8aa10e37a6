"""From a checkpoint to a file that can be served, and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export import to_onnx, verify
from export.graph import names
from export.storage import quantise
from models import artefact, checkpoint
from models.build import Recipe, build
from models.spec import SpecError

pytestmark = pytest.mark.usefixtures("small_networks")

SIZE = (64, 96)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export")


def test_the_file_describes_itself(exported: Path, trained: Path) -> None:
    spec = artefact.read_spec(artefact.read(exported))
    assert (spec.height, spec.width, spec.weights, spec.precision) == (*SIZE, "int8", "fp32")
    assert (spec.memory_frames, spec.memory_horizon) == (2, 2)
    assert [m.stage for m in spec.memory] == [4]
    assert spec.classes[3].name == "Road" and "NC" in spec.licence
    assert spec.fingerprint == checkpoint.fingerprint(checkpoint.read(trained)["weights"])


def test_the_graph_is_the_served_one(exported: Path) -> None:
    model = artefact.read(exported)
    spec = artefact.read_spec(model)
    inputs, outputs = names(spec)
    assert [i.name for i in model.graph.input] == inputs
    assert [o.name for o in model.graph.output] == outputs
    assert sorted(inputs[1:]) == inputs[1:] and sorted(outputs[1:]) == outputs[1:]
    kinds = {node.op_type for node in model.graph.node}
    assert not kinds & {"If", "Loop", "Scan"}
    assert sum(n.op_type == "MultiHeadAttention" for n in model.graph.node) == 1
    shape = [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert shape == ["batch", *SIZE, 3]
    assert not any(str(Path.home()) in node.doc_string for node in model.graph.node)


def test_it_holds_what_verify_asks(
    exported: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [str(exported), "--checkpoint", str(trained), "--frames", "3"]
    assert verify.main(asked) == 0
    told = capsys.readouterr().out
    assert told.count("ok  ") == 4
    assert "poisoned" in told and "trained.pt" in told


def test_verify_fails_on_another_networks_file(
    exported: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(1)
    other = Recipe(output_stride=32)
    checkpoint.save(folder / "other.pt", other, build(other).state_dict(), dataset="camvid")
    asked = [str(exported), "--checkpoint", str(folder / "other.pt"), "--frames", "2"]
    assert verify.main(asked) == 1
    assert "FAIL against other.pt" in capsys.readouterr().out


def test_verify_fails_on_a_graph_that_lets_empty_slots_through(
    exported: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = artefact.read(exported)
    for node in model.graph.node:
        if node.op_type == "Less":
            node.op_type = "GreaterOrEqual"
    onnx.save(model, folder / "leaky.onnx")
    assert verify.main([str(folder / "leaky.onnx"), "--frames", "2"]) == 1
    assert "FAIL" in capsys.readouterr().out


def test_an_artefact_is_a_source_of_other_sizes_and_precisions(
    exported: Path, folder: Path
) -> None:
    network, recipe, _ = artefact.load(exported)
    half = folder / "half.onnx"
    spec = to_onnx.export(
        exported, half, (32, 64), output_stride=16, memory=3, precision="fp16",
        attention="portable", name="half",
    )  # fmt: skip
    assert (spec.memory_frames, spec.memory_horizon, spec.output_stride) == (3, 3, 16)
    again, other, read = artefact.load(half)
    assert (read.name, read.precision, read.width) == ("half", "fp16", 64)
    assert other.memory["frames"] == 3 and recipe.memory["frames"] == 2
    weight = "encoder.trunk.layer2.0.conv2.weight"
    torch.testing.assert_close(
        again.state_dict()[weight], network.state_dict()[weight], rtol=1e-3, atol=1e-4
    )
    kinds = {node.domain for node in artefact.read(half).graph.node}
    assert kinds == {""}, "a portable graph has standard operators only"
    assert verify.main([str(half), "--frames", "2"]) == 0


@pytest.mark.parametrize(
    ("encoder", "preset", "changes", "horizon"),
    [
        ("resnet50", "default", {}, 0),
        ("ma-resnet50_vd", "release", {}, 1),
        ("ma-resnet50", "paper", {"stages": [4]}, None),
        (
            "ma-resnet50",
            "default",
            {"key_norm": "softmax", "mixing": "add", "enhanced_norm": True},
            2,
        ),
    ],
)
def test_every_kind_of_network_can_be_exported(
    tmp_path: Path, encoder: str, preset: str, changes: dict[str, object], horizon: int | None
) -> None:
    recipe = Recipe(encoder=encoder, preset=preset, memory=changes, output_stride=32)
    checkpoint.save(tmp_path / "n.pt", recipe, build(recipe).state_dict(), dataset="camvid")
    out = tmp_path / "n.onnx"
    spec = to_onnx.export(tmp_path / "n.pt", out, (32, 64), attention="portable")
    assert spec.memory_horizon == horizon
    assert all(check.held for check in verify.verify(out, tmp_path / "n.pt", None, 3))


def test_wrong_requests_end_in_one_sentence(
    exported: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(folder / "never.onnx")
    (folder / "text.pt").write_text("not a checkpoint")
    assert to_onnx.main([str(folder / "absent.pt"), "-o", out]) == 1
    assert to_onnx.main([str(folder / "text.pt"), "-o", out]) == 1
    assert to_onnx.main([str(exported), "-o", out, "--precision", "fp16", "--weights", "int8"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3 and all(line.startswith("to_onnx: ") for line in told)
    with pytest.raises(SystemExit, match="2"):
        to_onnx.main([str(exported), "-o", out, "--size", "480"])
    assert not (folder / "never.onnx").exists()


def test_a_foreign_onnx_file_is_refused(folder: Path) -> None:
    graph = onnx.helper.make_graph([], "empty", [], [])
    onnx.save(onnx.helper.make_model(graph), folder / "foreign.onnx")
    with pytest.raises(SpecError, match="no 'mastream' metadata"):
        artefact.load(folder / "foreign.onnx")


def test_int8_keeps_each_channels_scale() -> None:
    weight = np.random.default_rng(0).normal(size=(8, 4, 3, 3)).astype(np.float32)
    weight *= 10.0 ** np.arange(-4, 4).reshape(-1, 1, 1, 1)
    levels, scale = quantise(weight)
    assert levels.dtype == np.int8 and scale.shape == (8,)
    error = np.abs(levels * scale.reshape(-1, 1, 1, 1) - weight).reshape(8, -1)
    largest = np.abs(weight).reshape(8, -1).max(axis=1)
    # Rounding is half a step; clipping may cost the largest weight up to 30 %.
    assert (error.max(axis=1) <= 0.31 * largest).all()
    assert (np.sqrt((error**2).mean(axis=1)) <= 0.01 * largest).all()
