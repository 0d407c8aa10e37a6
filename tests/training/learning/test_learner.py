"""One iteration: what learns, what is frozen, what is averaged, what is forgotten."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from models.build import Recipe, build
from models.memory import PCMA
from models.segmenter import Memory
from training.data.batches import Step
from training.data.datasets import VOID
from training.learning.learner import Learner, part_of
from training.settings import TrainSettings

pytestmark = pytest.mark.usefixtures("small_networks")

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
        learned, memory = learner.learn(step, memory)
        assert learned.loss > 0
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


NAME = "head.classify.weight"


def classifier(learner: Learner) -> torch.Tensor:
    return learner.network.state_dict()[NAME]


def small(**changes: Any) -> Learner:
    """A learner whose trunk is frozen, so that tests are quick."""
    torch.manual_seed(0)
    settings = replace(SETTINGS, **{"batch": 2, "crop": SIZE, "frozen_stages": 4} | changes)
    return Learner(build(Recipe(output_stride=32)), settings, torch.ones(11))


def taught_twice(learner: Learner) -> tuple[list[float], Memory]:
    torch.manual_seed(1)
    memory, losses = learner.blank(), []
    for step in (make_step(True, True), make_step(False, False)):
        learned, memory = learner.learn(step, memory)
        losses.append(float(learned.loss))
    return losses, memory


def test_half_precision_learns_what_single_does_and_remembers_in_float32() -> None:
    exact, _ = taught_twice(small())
    for precision in ("bf16", "fp16"):
        learner = small(precision=precision)
        losses, memory = taught_twice(learner)
        assert losses == pytest.approx(exact, rel=0.03), precision
        assert {t.dtype for fifo in memory.fifos for t in fifo} == {torch.float32}
        assert {p.dtype for p in learner.network.parameters()} == {torch.float32}


def test_blocks_are_left_out_while_training_in_half_precision_too() -> None:
    """With most of the trunk left out the loss is another one; the average serves whole."""
    exact, _ = taught_twice(small(frozen_stages=1))
    for precision in ("fp32", "bf16"):
        learner = small(frozen_stages=1, drop_path=0.9, precision=precision)
        losses, _ = taught_twice(learner)
        assert losses != pytest.approx(exact, rel=1e-4), precision
        assert all(math.isfinite(loss) for loss in losses), precision
    whole = learner.averaged()
    frames = make_step(True).frames
    memory = whole.encoder.blank(1, *SIZE, whole.mean)
    assert torch.equal(whole.step(frames, memory)[0], whole.step(frames, memory)[0])


def test_dropout_is_as_often_as_requested() -> None:
    for dropout in (0.0, 0.3):
        head = small(dropout=dropout).network.head
        assert [m.p for m in head.modules() if isinstance(m, nn.Dropout)] == [dropout]


def test_a_head_that_norms_a_pictures_mean_wants_two_of_them() -> None:
    for head, least in (("deeplabv3plus", 2), ("pspnet", 2), ("sfnet", 2), ("dnlnet", 1)):
        network = build(Recipe(head, "resnet50", output_stride=32))
        settings = replace(SETTINGS, batch=1, crop=SIZE, lovasz=0.0)
        if least > 1:
            with pytest.raises(ValueError, match="Set batch to at least 2 with this head"):
                Learner(network, settings, torch.ones(11))
        else:
            learner = Learner(network, settings, torch.ones(11))
            assert learner.learn(make_step(True), learner.blank())[0].loss > 0


def test_overflowing_gradients_change_no_weight_and_halve_the_scale() -> None:
    learner = small(precision="fp16")
    learner.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120)
    before = classifier(learner).clone()
    learner.learn(make_step(True, True), learner.blank())
    assert torch.equal(classifier(learner), before)
    assert learner.scaler.get_scale() == 2.0**119
    again = small(precision="fp16")
    again.restore(learner.average, learner.state())
    assert again.scaler.get_scale() == 2.0**119
    assert again.iteration == 1


def test_what_an_instant_tells() -> None:
    learner = small()
    memory = learner.blank()
    first, memory = learner.learn(make_step(True, True), memory)
    second, _ = learner.learn(make_step(False, True), memory)
    assert first.held.tolist() == [0, 0]
    assert second.held.tolist() == [1, 0]
    assert second.judge.keys() == {4}
    assert all(a.shape == (2,) and 0 <= a.min() <= a.max() <= 1 for a in second.judge.values())


def test_an_instant_without_labels_teaches_nothing() -> None:
    learner = small(weight_decay=0.0)
    before = classifier(learner).clone()
    step = make_step(True, True)
    void = replace(step, labels=torch.full_like(step.labels, VOID))
    learned, _ = learner.learn(void, learner.blank())
    assert learned.loss == 0
    assert torch.equal(classifier(learner), before)


def test_lovasz_is_added_to_cross_entropy() -> None:
    losses = {}
    for weight in (0.0, 1.0, 2.0):
        torch.manual_seed(1)
        step = make_step(True, True)
        learner = small(lovasz=weight)
        losses[weight] = float(learner.learn(step, learner.blank())[0].loss)
    assert losses[1.0] - losses[0.0] > 0.5  # nothing is learnt yet: nearly every IoU is low
    assert losses[2.0] - losses[1.0] == pytest.approx(losses[1.0] - losses[0.0], rel=1e-3)


def test_each_part_learns_at_its_own_rate() -> None:
    learner = small(frozen_stages=1, rate=0.1, trunk_rate=0.5, memory_rate=2.0)
    taught_twice(learner)
    rates = {
        part_of(name): group["lr"]
        for name, parameter in learner.network.named_parameters()
        for group in learner.optimiser.param_groups
        if any(parameter is p for p in group["params"])
    }
    assert rates["trunk"] == pytest.approx(0.5 * rates["head"])
    assert rates["memory"] == pytest.approx(2.0 * rates["head"])


def test_the_averaged_network_is_one_of_its_own() -> None:
    learner = small()
    taught_twice(learner)
    network = learner.averaged()
    assert not network.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, learner.average[name]), name
        assert tensor.data_ptr() != learner.average[name].data_ptr()
    assert not torch.equal(network.state_dict()[NAME], learner.network.state_dict()[NAME])


def test_all_of_an_iteration_happens_on_the_learners_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Shown without a GPU: tensors on meta cannot be mixed with any on the CPU."""
    meta = torch.device("meta")
    # What looks at values (Lovász too) cannot run there, and there is no autocast.
    monkeypatch.setattr(PCMA, "_norm_held", lambda self, recalled, _: self.norm(recalled))
    monkeypatch.setattr(Learner, "_autocast", lambda _: nullcontext())
    network = build(Recipe(output_stride=32)).to(meta)
    settings = replace(SETTINGS, batch=2, crop=SIZE, lovasz=0.0)
    learner = Learner(network, settings, torch.ones(11), meta)
    memory, step = learner.blank(), make_step(True, False).to(meta)
    for _ in range(2):
        learned, memory = learner.learn(step, memory)
    seen = (learned.loss, learned.held, *learned.judge.values(), memory.count, memory.fifos[0].key)
    assert {tensor.device for tensor in seen} == {meta}
    assert {tensor.device for tensor in learner.averaged().state_dict().values()} == {meta}
