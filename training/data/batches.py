"""Parallel clips, time-major: what is trained on, as a pure function of seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from torch import Tensor

from training.data.augment import AugmentOptions, apply, draw, drifted
from training.data.datasets import Clip, DataError, Sample, read_image, read_label
from training.data.patches import Pair, Patch, draw_patch, paste
from training.settings import TrainSettings


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

    def pinned(self) -> Step:
        """The same in page-locked memory, from which a GPU takes it without waiting."""
        return Step(*(t.pin_memory() for t in (self.frames, self.labels, self.reset)))

    def to(self, device: torch.device) -> Step:
        """The same on ``device``; returns before the copy is done where it is pinned."""
        return Step(
            *(t.to(device, non_blocking=True) for t in (self.frames, self.labels, self.reset))
        )


def plan_run(clips: Sequence[Clip], settings: TrainSettings) -> Iterator[list[Window]]:
    """All batches of a run in order, epoch after epoch, without end.

    Raises DataError where an epoch has not one full batch.
    """
    length, stride = settings.clip_length, settings.memory_stride
    for epoch in count():
        batches = plan_epoch(clips, length, stride, settings.batch, settings.seed, epoch)
        if not batches:
            raise DataError("not one full batch of clips: lower --batch or --clip-length")
        yield from batches


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


def augmentation(settings: TrainSettings) -> AugmentOptions:
    """What a run's settings say of it."""
    return AugmentOptions(
        settings.crop,
        settings.scale,
        still=settings.still,
        tone=settings.tone,
        mix=settings.mix,
    )


def steps(windows: Sequence[Window], options: AugmentOptions) -> Iterator[Step]:
    """The instants of one batch in order; every element is reset at the first."""
    lanes = [_lane(window, options) for window in windows]
    patches = [_patch(window, options) for window in windows]
    for index, pairs in enumerate(zip(*lanes, strict=False)):
        others = (*pairs[1:], pairs[0])
        mixed = [paste(*three) for three in zip(pairs, others, patches, strict=True)]
        frames = torch.from_numpy(np.stack([image for image, _ in mixed]))
        labels = torch.from_numpy(np.stack([label for _, label in mixed]))
        yield Step(frames, labels, torch.full((len(windows),), index == 0))


def _patch(window: Window, options: AugmentOptions) -> Patch | None:
    """Drawn apart: where a lane's neighbour shows changes nothing of what the lane itself draws."""
    return draw_patch(options.crop, options.mix, np.random.default_rng((*window.seed, 1)))


def _lane(window: Window, options: AugmentOptions) -> Iterator[Pair]:
    """One element's pictures and labels, augmented alike; a still clip's drift."""
    rng = np.random.default_rng(window.seed)
    drawn = draw(options, rng)
    for sample in window.samples:
        shown = window.samples[0] if drawn.still else sample
        yield apply(read_image(shown), read_label(shown), drawn, options.crop)
        if drawn.still:
            drawn = drifted(drawn, options, rng)
