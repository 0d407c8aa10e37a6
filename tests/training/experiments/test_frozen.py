"""Runs on one frozen trunk: the same pictures for all, in each seed's own order."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from models import checkpoint
from models.build import Recipe, build
from training.data.datasets import camvid
from training.experiments import frozen
from training.settings import TrainSettings

pytestmark = pytest.mark.usefixtures("small_networks")

LIGHT = replace(TrainSettings(), batch=2, clip_length=2)
PLAIN = Recipe(encoder="resnet50", output_stride=32)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("start") / "plain.pt"
    checkpoint.save(path, PLAIN, build(PLAIN).state_dict(), dataset="camvid")
    return path


def test_all_seeds_see_the_same_windows(tiny: Path) -> None:
    clips = camvid(tiny, "train")
    windows = frozen.plan(clips, LIGHT)
    assert windows == frozen.plan(clips, replace(LIGHT, seed=7))
    assert len({window.seed for window in windows}) == len(windows)
    assert {window.seed[1] for window in windows} == set(range(frozen.DRAWS))


def test_a_lap_deals_each_window_once_in_the_seeds_order(tiny: Path) -> None:
    windows = frozen.plan(camvid(tiny, "train"), LIGHT)
    laps = []
    for seed in (0, 0, 1):
        dealt = islice(frozen.deal(windows, replace(LIGHT, seed=seed)), len(windows) // 2)
        laps.append([window.seed for batch in dealt for window in batch])
    assert laps[0] == laps[1] != laps[2]
    assert all(len(set(lap)) == len(lap) == len(windows) // 2 * 2 for lap in laps)


def test_trunk_and_head_are_the_starts_and_the_memory_is_the_seeds(start: Path) -> None:
    given = checkpoint.load(start)[0].state_dict()
    remembering = Recipe(output_stride=32)
    told = [replace(LIGHT, seed=seed) for seed in (0, 0, 1)]
    found = [frozen.begin(remembering, start, [], settings).state_dict() for settings in told]
    key = "encoder.pcma.4.key_conv.weight"
    assert torch.equal(found[0][key], found[1][key])
    assert not torch.equal(found[0][key], found[2][key])
    for name, held in given.items():
        assert all(torch.equal(held, state[name]) for state in found), name


def test_another_head_is_fresh(start: Path) -> None:
    recipe = Recipe("pspnet", "resnet50", output_stride=32)
    one, other = (frozen.begin(recipe, start, [], replace(LIGHT, seed=seed)) for seed in (0, 1))
    assert not torch.equal(one.head.classify.weight, other.head.classify.weight)  # type: ignore[union-attr, arg-type]


def test_what_changes_the_trunks_maps_is_refused(start: Path) -> None:
    for settings in (replace(LIGHT, mix=0.5), replace(LIGHT, drop_path=0.1)):
        with pytest.raises(ValueError, match="changes what the trunk computes"):
            frozen.begin(PLAIN, start, [], settings)
