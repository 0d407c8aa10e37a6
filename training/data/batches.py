"""Make batches of parallel clips, time-major, as a pure function of seed and epoch."""

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
    """A piece of a clip and the seed of its augmentation."""

    samples: tuple[Sample, ...]
    seed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One time step of B parallel clips.

    ``frames`` are uint8 RGB (B, h, w, 3), ``labels`` uint8 (B, h, w); ``reset`` (B,) bool is true
    if the memory must be emptied before this step.
    """

    frames: Tensor
    labels: Tensor
    reset: Tensor

    def pinned(self) -> Step:
        """Return a copy in page-locked memory, from which a GPU copies asynchronously."""
        return Step(*(t.pin_memory() for t in (self.frames, self.labels, self.reset)))

    def to(self, device: torch.device) -> Step:
        """Return a copy on ``device``; if the step is pinned, the copy is asynchronous."""
        return Step(
            *(t.to(device, non_blocking=True) for t in (self.frames, self.labels, self.reset))
        )


def plan_run(clips: Sequence[Clip], settings: TrainSettings) -> Iterator[list[Window]]:
    """Yield the batches of a run in order, epoch after epoch, without end.

    Raises DataError if an epoch has no full batch.
    """
    length, stride = settings.clip_length, settings.memory_stride
    for epoch in count():
        batches = plan_epoch(clips, length, stride, settings.batch, settings.seed, epoch)
        if not batches:
            raise DataError("There is no full batch of clips; lower --batch or --clip-length.")
        yield from batches


def plan_epoch(
    clips: Sequence[Clip], length: int, stride: int, batch: int, seed: int, epoch: int
) -> list[list[Window]]:
    """Cut every clip into windows of ``length`` frames, ``stride`` apart, from a random offset.

    Return the shuffled windows in full batches; the remainder of the epoch is dropped.
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
    """Return the augmentation options of a run's settings."""
    return AugmentOptions(
        settings.crop,
        settings.scale,
        still=settings.still,
        tone=settings.tone,
        mix=settings.mix,
    )


def steps(windows: Sequence[Window], options: AugmentOptions) -> Iterator[Step]:
    """Yield the time steps of one batch in order; the first resets every element."""
    elements = [_pairs(window, options) for window in windows]
    patches = [_patch(window, options) for window in windows]
    for index, pairs in enumerate(zip(*elements, strict=False)):
        others = (*pairs[1:], pairs[0])
        mixed = [paste(*three) for three in zip(pairs, others, patches, strict=True)]
        frames = torch.from_numpy(np.stack([image for image, _ in mixed]))
        labels = torch.from_numpy(np.stack([label for _, label in mixed]))
        yield Step(frames, labels, torch.full((len(windows),), index == 0))


def _patch(window: Window, options: AugmentOptions) -> Patch | None:
    """Draw the patch of a clip with its own generator.

    CutMix therefore does not change the clip's other augmentations.
    """
    return draw_patch(options.crop, options.mix, np.random.default_rng((*window.seed, 1)))


def _pairs(window: Window, options: AugmentOptions) -> Iterator[Pair]:
    """Yield one element's pictures and labels with the same augmentation; a still clip drifts."""
    rng = np.random.default_rng(window.seed)
    drawn = draw(options, rng)
    for sample in window.samples:
        shown = window.samples[0] if drawn.still else sample
        yield apply(read_image(shown), read_label(shown), drawn, options.crop)
        if drawn.still:
            drawn = drifted(drawn, options, rng)
