"""Parallel clips, time-major: what is trained on, as a pure function of seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.augment import AugmentOptions, apply, draw
from training.datasets import Clip, Sample, read_image, read_label


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of a clip with the seed of its one augmentation."""

    samples: tuple[Sample, ...]
    seed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One instant of B parallel clips: uint8 (B, h, w, 3), uint8 (B, h, w), bool (B,)."""

    frames: Tensor
    labels: Tensor
    reset: Tensor


def plan_epoch(
    clips: Sequence[Clip], length: int, stride: int, batch: int, seed: int, epoch: int
) -> list[list[Window]]:
    """Cut every clip into windows of ``length`` frames, ``stride`` apart, from a drawn offset.

    Shuffles the windows and deals them into full batches; the rest of an epoch is left out.
    """
    rng = np.random.default_rng((seed, epoch))
    whole: list[tuple[Sample, ...]] = []
    for clip in clips:
        for phase in range(stride):
            samples = clip.samples[phase::stride]
            offset = int(rng.integers(length))
            starts = range(offset, len(samples) - length + 1, length)
            whole += [samples[start : start + length] for start in starts]
    order = rng.permutation(len(whole))
    dealt = [Window(whole[i], (seed, epoch, int(i))) for i in order]
    return [dealt[i : i + batch] for i in range(0, len(dealt) - batch + 1, batch)]


def steps(windows: Sequence[Window], options: AugmentOptions) -> Iterator[Step]:
    """The instants of one batch in order; every element is reset at the first."""
    draws = [draw(options, np.random.default_rng(window.seed)) for window in windows]
    for index in range(min(len(window.samples) for window in windows)):
        pairs = [
            apply(read_image(w.samples[index]), read_label(w.samples[index]), d, options.crop)
            for w, d in zip(windows, draws, strict=True)
        ]
        frames = torch.from_numpy(np.stack([image for image, _ in pairs]))
        labels = torch.from_numpy(np.stack([label for _, label in pairs]))
        yield Step(frames, labels, torch.full((len(windows),), index == 0))
