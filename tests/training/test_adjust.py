"""A bias that predicts rare classes less often."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from export.to_onnx import main as to_onnx
from models import checkpoint, source
from models.build import Recipe, build
from training import adjust
from training.data.datasets import camvid

pytestmark = pytest.mark.usefixtures("small_networks")

RECIPE = Recipe(output_stride=32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.pt"
    checkpoint.save(path, RECIPE, build(RECIPE).state_dict(), dataset="camvid", note="kept")
    return path


@pytest.fixture(scope="module")
def exported(model: Path) -> Path:
    path = model.with_suffix(".onnx")
    asked = [str(model), "-o", str(path), "--size", "64x64", "--weights", "fp16", "--no-verify"]
    assert to_onnx(asked) == 0
    return path


def bias(path: Path) -> torch.Tensor:
    return source.load(path)[0].get_parameter(adjust.BIAS).detach()


def test_rare_classes_lose_and_common_ones_gain(tiny: Path) -> None:
    clips = camvid(tiny, "train")
    shares = np.zeros(11)
    for clip in clips:
        for sample in clip.samples:
            shares += np.bincount(adjust.read_label(sample).ravel(), minlength=12)[:11]
    rare = adjust.rarity(clips, RECIPE).numpy()
    assert rare[shares.argmax()] == rare.min() < 0 < rare.max()
    seen = shares > 0
    share = shares[seen] / shares.sum()
    assert np.ptp(rare[seen] + np.log(share)) < 1e-5


def test_a_checkpoint_loses_what_was_asked_for_and_nothing_else(
    tiny: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.pt"
    asked = [str(model), "--data", str(tiny), "--out", str(out)]
    assert adjust.main([*asked, "--by", "0.5"]) == 0
    assert "adjusted by 0.5" in capsys.readouterr().out
    before, after = checkpoint.read(model), checkpoint.read(out)
    less = 0.5 * adjust.rarity(camvid(tiny, "train"), RECIPE)
    changed = before["weights"][adjust.BIAS] - after["weights"].pop(adjust.BIAS)
    torch.testing.assert_close(changed, less)
    assert all(torch.equal(before["weights"][name], v) for name, v in after["weights"].items())
    assert (after["note"], after["dataset"]) == ("kept", "camvid")
    assert after["adjusted"] == pytest.approx(less.tolist())


def test_an_exported_file_stays_one_and_is_known_as_another(
    tiny: Path, exported: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.onnx"
    assert adjust.main([str(exported), "--data", str(tiny), "--out", str(out), "--by", "1"]) == 0
    less = adjust.rarity(camvid(tiny, "train"), RECIPE)
    torch.testing.assert_close(bias(exported) - bias(out), less)
    assert source.load(exported)[2].fingerprint != source.load(out)[2].fingerprint
    onnx.checker.check_model(onnx.load(out), full_check=True)


def test_the_strength_is_the_one_that_the_split_likes_best(
    tiny: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing is rare all do the same, and where one class is far beyond the others too."""
    torch.manual_seed(0)
    network, clips = build(RECIPE).eval(), camvid(tiny, "val")
    rare = torch.zeros(11)
    found = adjust.sweep(network, clips, (64, 64), rare)
    assert list(found) == list(adjust.STRENGTHS)
    assert len(set(found.values())) == 1  # nothing taken, nothing changed
    wanted = int(np.bincount(adjust.read_label(clips[0].samples[0]).ravel())[:11].argmax())
    rare[wanted] = -1000.0
    found = adjust.sweep(network, clips, (64, 64), rare)
    assert found[0.1] == found[0.6]
    assert adjust.best({0.0: 0.5, 0.1: 0.6, 0.2: 0.6}) == 0.1

    asked = [str(model), "--data", str(tiny), "--out", str(tmp_path / "out.pt")]
    assert adjust.main(asked) == 0
    told = capsys.readouterr().out
    assert told.count("val mIoU") == len(adjust.STRENGTHS)
    assert "adjusted by" in told


def test_wrong_input_ends_in_one_sentence(
    tiny: Path,
    model: Path,
    exported: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = tmp_path / "few.onnx"
    graph = onnx.load(exported)
    (held,) = (tensor for tensor in graph.graph.initializer if tensor.name == adjust.BIAS)
    held.CopyFrom(numpy_helper.from_array(np.zeros(11, np.float16), f"{adjust.BIAS}.fp16"))
    onnx.save(graph, few)
    shutil.copy(model, tmp_path / "other.onnx")
    capsys.readouterr()
    for path, out, told in (
        (model, "out.onnx", "ends in .pt"),
        (tmp_path / "absent.pt", "out.pt", "does not exist"),
        (tmp_path / "other.onnx", "out.onnx", "not an ONNX file"),
        (few, "out.onnx", "in fewer bits"),
    ):
        command = [str(path), "--data", str(tiny), "--out", str(tmp_path / out), "--by", "1"]
        assert adjust.main(command) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("training.adjust: ") and told in line
        assert not (tmp_path / out).exists()
