"""The mean of networks that began alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models import checkpoint
from models.build import Recipe, build
from training import soup
from training.data.datasets import camvid
from training.settings import TrainSettings

RECIPE = Recipe(encoder="resnet50", output_stride=32)
SETTINGS = TrainSettings(batch=2, clip_length=2, crop=(64, 64))
TAPS = "head.aspp.branches.3.depthwise.conv.weight"


def keep(path: Path, seed: int, recipe: Recipe = RECIPE) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    weights = build(recipe).state_dict()
    checkpoint.save(path, recipe, weights, dataset="camvid", settings=SETTINGS.to_dict())
    return weights


def test_it_holds_the_mean_of_all_weights_and_norms_measured_anew(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / f"{seed}.pt" for seed in range(3)]
    weights = [keep(path, seed) for seed, path in enumerate(paths)]
    out = tmp_path / "soup.pt"
    assert soup.main([*map(str, paths), "--out", str(out), "--data", str(tiny)]) == 0
    assert "written" in capsys.readouterr().out
    network, recipe, kept = checkpoint.load(out)
    assert recipe == RECIPE
    assert (kept["dataset"], kept["mixed"]) == ("camvid", ["0.pt", "1.pt", "2.pt"])
    found = network.state_dict()
    for name in ("encoder.trunk.layer4.2.conv3.weight", TAPS):
        mean = torch.stack([one[name] for one in weights]).mean(0)
        torch.testing.assert_close(found[name], mean)
    norm = "head.low_level.bn.running_mean"
    assert not torch.equal(found[norm], weights[0][norm])


def test_measured_norms_are_those_of_the_training_pictures(tiny: Path) -> None:
    torch.manual_seed(0)
    network = build(RECIPE).eval()
    settings = replace(SETTINGS, clip_length=1)
    soup.measure_norms(network, camvid(tiny, "train"), settings)
    assert not network.training
    first = {name: held.clone() for name, held in network.state_dict().items()}
    soup.measure_norms(network, camvid(tiny, "train"), settings)
    for name, held in network.state_dict().items():
        assert torch.equal(held, first[name]), name


def test_taps_that_no_crop_reached_are_silenced_where_that_is_asked_for(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(tmp_path / "a.pt", 0)
    asked = [str(tmp_path / "a.pt"), "--out", str(tmp_path / "b.pt"), "--data", str(tiny)]
    assert soup.main([*asked, "--silence"]) == 0
    # Maps of 2x2: every tap but the middle one of all three dilations, 3, 6 and 9.
    assert f"{3 * 8 * 2048} weights" in capsys.readouterr().out
    taps = checkpoint.read(tmp_path / "b.pt")["weights"][TAPS]
    assert taps[:, :, 1, 1].all() and int((taps != 0).sum()) == 2048


def test_other_networks_are_refused(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(tmp_path / "a.pt", 0)
    keep(tmp_path / "b.pt", 0, replace(RECIPE, classes=12))
    asked = [str(tmp_path / "a.pt"), str(tmp_path / "b.pt"), "--data", str(tiny)]
    assert soup.main([*asked, "--out", str(tmp_path / "c.pt")]) == 1
    assert "different networks" in capsys.readouterr().err
    assert not (tmp_path / "c.pt").exists()
