"""Checkpoints of a run: taken up whole, by later versions too; the best one is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models import checkpoint
from models.build import Recipe, build
from training.data.datasets import DataError
from training.learning.keeping import Best, Keeper
from training.learning.learner import Learner
from training.settings import TrainSettings

pytestmark = pytest.mark.usefixtures("small_networks")

RECIPE = Recipe(encoder="resnet50", output_stride=32)
SETTINGS = replace(TrainSettings(), frozen_stages=4, memory_rate=1.0, lovasz=0.0, dropout=0.0)


def make_learner(seed: int) -> Learner:
    torch.manual_seed(seed)
    return Learner(build(RECIPE), SETTINGS, torch.ones(11))


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(tmp_path / "run", RECIPE, SETTINGS, {"dataset": "camvid"})


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    kept = torch.load(path, weights_only=True)
    change(kept)
    torch.save(kept, path)


def test_a_fresh_run_stays_fresh(keeper: Keeper) -> None:
    learner = make_learner(0)
    assert keeper.resume(learner) == Best()
    assert learner.iteration == 0


def test_a_file_of_before_these_settings_is_taken_up(keeper: Keeper) -> None:
    """Those of version 0.1.0 have no precision, memory_rate, lovasz, dropout, scaler and best."""
    first, second = make_learner(0), make_learner(1)
    first.iteration = 12
    keeper.keep_last(first, Best(0.5, 10))

    def age(kept: dict[str, Any]) -> None:
        del kept["settings"]["precision"], kept["settings"]["memory_rate"]
        del kept["settings"]["lovasz"], kept["settings"]["dropout"]
        del kept["training"]["scaler"], kept["best"]

    rewrite(keeper.last, age)
    assert keeper.resume(second) == Best()
    assert second.iteration == 12
    for name, tensor in first.average.items():
        assert torch.equal(second.average[name], tensor), name
    assert checkpoint.load(keeper.last)[1] == RECIPE


def test_settings_of_a_later_version_are_refused_in_words(keeper: Keeper) -> None:
    keeper.keep_last(make_learner(0), Best())
    rewrite(keeper.last, lambda kept: kept["settings"].update(gears=3))
    with pytest.raises(ValueError, match="another version"):
        keeper.resume(make_learner(0))
    other = Keeper(keeper.folder, RECIPE, replace(SETTINGS, rate=1.0), {})
    rewrite(keeper.last, lambda kept: kept["settings"].pop("gears"))
    with pytest.raises(DataError, match="another rate"):
        other.resume(make_learner(0))


def test_only_what_is_better_becomes_best(keeper: Keeper) -> None:
    learner = make_learner(0)
    best = Best()
    for iteration, miou in ((10, 0.4), (20, 0.3), (30, 0.4), (40, 0.5)):
        best = keeper.keep_better(learner, Best(miou, iteration), best)
        told = checkpoint.read(keeper.best)
        assert told["best"] == {"miou": best.miou, "iteration": best.iteration}
        assert told["training"] == {"iteration": best.iteration}
    assert best == Best(0.5, 40)
    assert keeper.keep_better(learner, Best(float("nan"), 50), best) == best


@pytest.mark.parametrize(
    ("recipe", "more", "named"),
    [
        (RECIPE, {"dataset": "vspw", "start_sha256": "a"}, "another dataset;"),
        (RECIPE, {"dataset": "camvid", "start_sha256": "b"}, "another start;"),
        (replace(RECIPE, classes=12), {"dataset": "vspw", "start_sha256": "a"}, "model, dataset;"),
    ],
)
def test_a_run_of_other_origin_is_not_gone_on_with(
    tmp_path: Path, recipe: Recipe, more: dict[str, str], named: str
) -> None:
    Keeper(tmp_path, RECIPE, SETTINGS, {"dataset": "camvid", "start_sha256": "a"}).keep_last(
        make_learner(0), Best()
    )
    with pytest.raises(DataError, match=named):
        Keeper(tmp_path, recipe, SETTINGS, more).resume(make_learner(0))


def test_a_file_that_does_not_name_its_start_is_resumed(tmp_path: Path) -> None:
    Keeper(tmp_path, RECIPE, SETTINGS, {"dataset": "camvid"}).keep_last(make_learner(0), Best(0.5))
    more = {"dataset": "camvid", "start_sha256": "a"}
    assert Keeper(tmp_path, RECIPE, SETTINGS, more).resume(make_learner(0)) == Best(0.5)
