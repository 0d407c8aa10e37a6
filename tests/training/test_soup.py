"""The mean of networks with the same start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_networks import CHANNELS
from torch import Tensor

from models import checkpoint
from models.build import Recipe, build
from training import soup
from training.data.datasets import camvid
from training.settings import TrainSettings

pytestmark = pytest.mark.usefixtures("small_networks")

RECIPE = Recipe(encoder="resnet50", output_stride=32)
SETTINGS = TrainSettings(batch=2, clip_length=2, crop=(64, 64))
REMEMBERING = Recipe(output_stride=32, memory={"enhanced_norm": True})
TAPS = "head.aspp.branches.3.depthwise.conv.weight"


def keep(
    path: Path,
    seed: int = 0,
    recipe: Recipe = RECIPE,
    settings: TrainSettings | None = SETTINGS,
    dataset: str = "camvid",
) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    weights = build(recipe).state_dict()
    told = {"settings": settings.to_dict()} if settings else {}
    checkpoint.save(path, recipe, weights, dataset=dataset, **told)
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
    for name in ("encoder.trunk.layer4.1.conv3.weight", TAPS):
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


def test_norms_of_memory_are_measured_with_what_it_recalls(tiny: Path) -> None:
    """A trunk that kept its statistics keeps them; one that did not is measured too."""
    for frozen in (True, False):
        torch.manual_seed(0)
        network = build(REMEMBERING).eval()
        before = {name: held.clone() for name, held in network.state_dict().items()}
        clips = camvid(tiny, "train")
        soup.measure_norms(network, clips, replace(SETTINGS, frozen_norm=frozen))
        after = network.state_dict()
        changed = {name for name in after if not torch.equal(after[name], before[name])}
        assert all("running" in name or "num_batches" in name for name in changed)
        assert {"head.low_level.bn.running_mean", "encoder.pcma.4.norm.running_mean"} <= changed
        assert ("encoder.trunk.bn1.running_mean" in changed) is not frozen


def test_taps_that_no_crop_reached_are_silenced_where_that_is_asked_for(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(tmp_path / "a.pt")
    asked = [str(tmp_path / "a.pt"), "--out", str(tmp_path / "b.pt"), "--data", str(tiny)]
    assert soup.main([*asked, "--silence"]) == 0
    # Maps of 2x2: every tap but the middle one of all three dilations, 3, 6 and 9.
    assert f"{3 * 8 * CHANNELS[3]} weights" in capsys.readouterr().out
    taps = checkpoint.read(tmp_path / "b.pt")["weights"][TAPS]
    assert taps[:, :, 1, 1].all() and int((taps != 0).sum()) == CHANNELS[3]


def test_only_taps_beyond_every_crop_are_silenced() -> None:
    told = [soup.Ingredient(RECIPE, replace(SETTINGS, crop=c), "x") for c in ((64, 96), (96, 64))]
    assert soup.largest_crop(told) == (96, 96)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"recipe": replace(RECIPE, classes=12)}, "different networks"),
        ({"dataset": "vspw"}, "learned from camvid, vspw"),
        ({"settings": None}, "b.pt does not say how it was trained; leave it out ('settings')"),
    ],
)
def test_what_cannot_be_mixed_is_refused(
    other: dict[str, Any],
    told: str,
    tiny: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    keep(tmp_path / "a.pt")
    keep(tmp_path / "b.pt", **other)
    asked = [str(tmp_path / "a.pt"), str(tmp_path / "b.pt"), "--data", str(tiny)]
    assert soup.main([*asked, "--out", str(tmp_path / "c.pt")]) == 1
    assert told in capsys.readouterr().err
    assert not (tmp_path / "c.pt").exists()


def test_weights_that_do_not_fit_their_recipe_are_reported(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.pt"
    weights = keep(path)
    del weights[TAPS]
    checkpoint.save(path, RECIPE, weights, dataset="camvid", settings=SETTINGS.to_dict())
    asked = [str(path), "--data", str(tiny), "--out", str(tmp_path / "c.pt")]
    assert soup.main(asked) == 1
    assert "does not fit its own recipe" in capsys.readouterr().err
