"""One iteration: what learns, what is frozen, what is averaged, what is forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.build import Recipe, build
from training.batches import Step
from training.learner import Learner
from training.settings import TrainSettings

SETTINGS = replace(TrainSettings(), iterations=10, warm_up=1, frozen_stages=1)
SIZE = (64, 64)


def make_step(*reset: bool) -> Step:
    shape = (len(reset), *SIZE)
    frames = torch.randint(0, 256, (*shape, 3), dtype=torch.uint8)
    labels = torch.randint(0, 11, shape, dtype=torch.uint8)
    return Step(frames, labels, torch.tensor(reset))


@pytest.fixture(scope="module")
def taught() -> tuple[Learner, dict[str, torch.Tensor], list[list[int]]]:
    """Two iterations; the weights before them, and the memory's counts after each."""
    torch.manual_seed(0)
    learner = Learner(build(Recipe(output_stride=32)), SETTINGS, torch.ones(11))
    before = {name: t.clone() for name, t in learner.network.state_dict().items()}
    memory, counts = learner.network.encoder.blank(2, *SIZE, torch.ones(())), []
    for step in (make_step(True, True), make_step(False, True)):
        loss, memory = learner.learn(step, memory)
        assert loss > 0
        counts.append(memory.count.tolist())
    return learner, before, counts


def test_frozen_stages_and_norms_keep_every_bit(
    taught: tuple[Learner, dict[str, torch.Tensor], list[list[int]]],
) -> None:
    learner, before, _ = taught
    after = learner.network.state_dict()
    for name, tensor in before.items():
        frozen = name.startswith(("encoder.trunk.conv1", "encoder.trunk.layer1"))
        statistic = name.startswith("encoder.trunk") and "running" in name
        if frozen or statistic:
            assert torch.equal(after[name], tensor), name
    for name in ("encoder.trunk.layer2.0.conv1.weight", "encoder.pcma.4.key_conv.weight",
                 "head.classify.weight", "head.aspp.project.bn.running_mean"):  # fmt: skip
        assert not torch.equal(after[name], before[name]), name


def test_a_reset_empties_its_own_element_alone(
    taught: tuple[Learner, dict[str, torch.Tensor], list[list[int]]],
) -> None:
    assert taught[2] == [[1, 1], [2, 1]]


def test_the_average_lies_between_what_was_and_what_is(
    taught: tuple[Learner, dict[str, torch.Tensor], list[list[int]]],
) -> None:
    learner, before, _ = taught
    name = "head.classify.weight"
    now = learner.network.state_dict()[name]
    average = learner.average[name]
    assert (average - now).abs().max() < (before[name] - now).abs().max()
    assert not torch.equal(average, now)
