"""The memory in each mode, with a stepper that records it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.build import Recipe, build
from training.data.clips import Clip, Sample
from training.scoring.passes import Mode, run, validate
from training.scoring.steppers import FakeMemory, FakeStepper

pytestmark = pytest.mark.usefixtures("small_networks")


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    """Two clips of three and one frames, 12x8; frame n is of grey 10 n, its label of class 1."""
    Image.new("L", (12, 8), 1).save(tmp_path / "label.png")
    samples = []
    for number in range(4):
        image = tmp_path / f"{number}.png"
        Image.new("RGB", (12, 8), (10 * number,) * 3).save(image)
        samples.append(Sample(image, tmp_path / "label.png", "a", number))
    return [Clip(tuple(samples[:3])), Clip(tuple(samples[3:]), dense=True)]


@pytest.fixture
def stepper() -> FakeStepper:
    """T=2, 6x4; its mask is the number of frames it remembers."""
    return FakeStepper([np.full((4, 6), count, np.uint8) for count in range(3)])


NOTHING = FakeMemory()
GIVEN = {
    Mode.WITH: [NOTHING, FakeMemory(1, (0,)), FakeMemory(2, (10, 0)), NOTHING],
    Mode.OFF: [NOTHING] * 4,
    Mode.RESET: [NOTHING, FakeMemory(0, (0,)), FakeMemory(0, (10, 0)), NOTHING],
}


@pytest.mark.parametrize("mode", GIVEN)
def test_each_frame_remembers_what_its_mode_says(
    clips: list[Clip], stepper: FakeStepper, mode: Mode
) -> None:
    shots = list(run(stepper, clips, [mode]))
    assert stepper.given == GIVEN[mode]
    assert [(shot.sample.number, shot.index) for shot in shots] == [(0, 0), (1, 1), (2, 2), (3, 0)]
    assert [shot.dense for shot in shots] == [False, False, False, True]
    for shot, memory in zip(shots, GIVEN[mode], strict=True):
        assert shot.image.shape == (8, 12, 3) and (shot.truth == 1).all()
        mask = shot.answers[mode].mask
        assert mask.shape == (8, 12) and (mask == memory.count).all()


def test_itself_is_a_memory_full_of_the_very_frame(clips: list[Clip], stepper: FakeStepper) -> None:
    shots = list(run(stepper, clips, [Mode.ITSELF]))
    assert [m for m in stepper.given if m.count == 2] == [
        FakeMemory(2, (n, n)) for n in (0, 10, 20, 30)
    ]
    assert all((shot.answers[Mode.ITSELF].mask == 2).all() for shot in shots)


def test_modes_run_side_by_side_as_each_alone(clips: list[Clip], stepper: FakeStepper) -> None:
    both = [shot.answers for shot in run(stepper, clips, list(Mode))]
    for mode in Mode:
        alone = [shot.answers[mode].mask for shot in run(stepper, clips, [mode])]
        assert all(np.array_equal(a[mode].mask, b) for a, b in zip(both, alone, strict=True))


def test_validation_is_one_share(clips: list[Clip]) -> None:
    torch.manual_seed(0)
    network = build(Recipe(output_stride=32)).eval()
    with torch.no_grad():
        network.head.classify.bias += 50 * (torch.arange(11) == 1)  # type: ignore[operator]
    assert validate(network, clips, 11, (32, 64)) == 1.0
