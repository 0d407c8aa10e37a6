"""Validation while training: which frames, at which size, with which result."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.build import Recipe, build
from models.segmenter import Features, Memory, Segmenter
from training.data.datasets import Clip, DataError, Sample, camvid, open_dataset
from training.learning.validation import ValidationOptions, own_size, shorten, validator
from training.scoring.passes import validate


def clip(frames: int) -> Clip:
    return Clip(tuple(Sample(Path(), Path(), "a", n) for n in range(frames)))


pytestmark = pytest.mark.usefixtures("small_networks")


@pytest.mark.parametrize(
    ("frames", "left"), [(0, [30, 10]), (20, [15, 5]), (1, [1, 1]), (40, [30, 10]), (99, [30, 10])]
)
def test_clips_are_shortened_in_proportion(frames: int, left: list[int]) -> None:
    short = shorten([clip(30), clip(10)], frames)
    assert [len(c) for c in short] == left
    assert all(c.samples[0].number == 0 for c in short)


def test_the_size_is_the_pictures_own_to_a_multiple_of_32(tiny: Path) -> None:
    assert own_size(camvid(tiny, "val")) == (32, 64)


@pytest.mark.data
def test_camvids_size(data: Path) -> None:
    assert own_size(camvid(data / "camvid", "val")) == (352, 480)


def test_nothing_is_opened_where_it_never_validates(tiny: Path) -> None:
    assert validator(ValidationOptions(), open_dataset("camvid", tiny)) is None
    with pytest.raises(DataError, match="missing"):
        validator(ValidationOptions(every=1, split="test"), open_dataset("camvid", tiny))


def test_memory_is_handed_on_within_a_clip(tiny: Path) -> None:
    torch.manual_seed(0)
    network = build(Recipe(output_stride=32)).eval()
    held: list[int] = []
    logits = network.logits

    def spy(image: torch.Tensor, memory: Memory) -> tuple[torch.Tensor, Features]:
        assert image.shape == (1, 3, 64, 64)
        held.append(int(memory.count))
        return logits(image, memory)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Segmenter, "logits", lambda _, image, memory: spy(image, memory))
        look = validator(
            ValidationOptions(every=1, frames=6, size=(64, 64)), open_dataset("camvid", tiny)
        )
        assert look is not None
        miou = look(network)
    assert held == [0, 1, 2, 0, 1, 2]
    assert miou == validate(network, shorten(camvid(tiny, "val"), 6), 11, (64, 64))
    assert 0 <= miou < 0.2
