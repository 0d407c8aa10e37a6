"""Batches ahead of their use: in their order, bounded, gone when left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
import torch

from training.data.augment import AugmentOptions
from training.data.batches import Window, plan_run
from training.data.datasets import DataError, camvid
from training.data.loading import load
from training.settings import TrainSettings

OPTIONS = AugmentOptions(crop=(32, 32), still=0.5)
SETTINGS = TrainSettings(batch=2, clip_length=2, crop=(32, 32))


def plan(tiny: Path) -> Iterator[list[Window]]:
    return plan_run(camvid(tiny, "train"), SETTINGS)


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("batches")]


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_change_nothing(tiny: Path, workers: int) -> None:
    alone = list(load(islice(plan(tiny), 9), OPTIONS, workers=0, pinned=False))
    ahead = list(load(islice(plan(tiny), 9), OPTIONS, workers=workers, pinned=False))
    assert len(alone) == len(ahead) == 9
    for ours, theirs in zip(alone, ahead, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert torch.equal(one.frames, other.frames)
            assert torch.equal(one.labels, other.labels)
            assert torch.equal(one.reset, other.reset)
    assert not threads()


def test_no_more_is_taken_than_workers_ahead_and_leaving_early_ends_the_threads(
    tiny: Path,
) -> None:
    taken = 0

    def counted() -> Iterator[list[Window]]:
        nonlocal taken
        for windows in plan(tiny):
            taken += 1
            yield windows

    with closing(load(counted(), OPTIONS, workers=2, pinned=False)) as batches:
        next(batches)
        assert taken == 3
        next(batches)
        assert taken == 4
        assert threads()
    assert not threads()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_comes_where_its_batch_would_have(tiny: Path, workers: int) -> None:
    windows = list(islice(plan(tiny), 3))
    windows[1][0].samples[0].image.write_bytes(b"no picture")
    shared = {s.image for w in windows[0] for s in w.samples}
    assert windows[1][0].samples[0].image not in shared
    batches = load(windows, OPTIONS, workers=workers, pinned=False)
    next(batches)
    with pytest.raises(DataError, match="cannot be read"):
        next(batches)
    assert not threads()


def test_a_batch_goes_where_it_is_asked_to(tiny: Path) -> None:
    step = next(load(plan(tiny), OPTIONS, workers=0, pinned=False))[0]
    moved = step.to(torch.device("meta"))
    assert {t.device.type for t in (moved.frames, moved.labels, moved.reset)} == {"meta"}
    assert moved.frames.shape == step.frames.shape
