"""Every row of a series can be built and trained."""

from __future__ import annotations

from dataclasses import replace

import pytest

from training.experiments.rows import EXPERIMENTS, Experiment
from training.settings import TrainSettings


def test_every_row_has_a_name_of_its_own() -> None:
    slugs = [experiment.slug for experiment in EXPERIMENTS]
    assert len(set(slugs)) == len(slugs)
    assert Experiment("r=1/8").slug == "deeplabv3plus-r-1_8"


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.slug)
def test_what_differs_is_an_option_or_a_setting(experiment: Experiment) -> None:
    recipe = experiment.recipe(11, 16)
    assert (recipe.options is None) == (experiment.memory is None)
    for field, value in (experiment.memory or {}).items():
        held = getattr(recipe.options, field)
        assert held == (tuple(value) if isinstance(value, list) else value)
    changed = replace(TrainSettings(), **experiment.changes)
    assert all(getattr(changed, field) == value for field, value in experiment.changes.items())
