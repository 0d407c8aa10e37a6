"""One network of several that began alike: ``python -m training.soup A.pt B.pt --out SOUP.pt``.

Runs from one start with other seeds, batches and augmentation end in one valley of the loss; the
mean of their weights lies deeper in it than each of them (Wortsman et al. 2022) and costs no more
to serve. Batch norms that learned are measured again on the training pictures of ``--data``: the
mean of networks has other statistics than the mean of theirs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models import checkpoint
from models.build import Recipe
from models.checkpoint import CheckpointError
from models.segmenter import Segmenter
from training.data.batches import augmentation, plan_run
from training.data.datasets import Clip, open_dataset
from training.data.loading import make_batch
from training.learning.reach import silence_unreached
from training.settings import TrainSettings

BATCHES = 40
"""How many batches of clips the norms are measured on."""


@dataclass(frozen=True, slots=True)
class Ingredient:
    """What a checkpoint says of itself."""

    recipe: Recipe
    settings: TrainSettings
    dataset: str


def average(weights: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each; counters as in the first. Raises CheckpointError where shapes differ."""
    first = weights[0]
    shapes = [{name: held.shape for name, held in one.items()} for one in weights]
    if any(shape != shapes[0] for shape in shapes):
        raise CheckpointError("these checkpoints are of different networks")
    return {
        name: torch.stack([one[name] for one in weights]).mean(0)
        if held.is_floating_point()
        else held
        for name, held in first.items()
    }


@torch.no_grad()
def measure_norms(network: Segmenter, clips: Sequence[Clip], settings: TrainSettings) -> None:
    """Give every norm that learned the mean of its statistics over BATCHES batches of clips.

    Memory is handed on as in training; a trunk with ``frozen_norm`` keeps its own.
    """
    kept = set(network.encoder.trunk.modules()) if settings.frozen_norm else set()
    for norm in network.modules():
        if norm in kept or not isinstance(norm, nn.BatchNorm2d):
            continue
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean
        norm.train()
    for windows in islice(plan_run(clips, settings), BATCHES):
        memory = network.encoder.blank(settings.batch, *settings.crop, network.mean)
        for step in make_batch(windows, augmentation(settings), pinned=False):
            image = network.normalise(step.frames)
            memory = network.logits(image, memory.forget(step.reset))[1].memory
    network.eval()


def mix(paths: Sequence[Path]) -> tuple[Segmenter, list[Ingredient]]:
    """The mean network of checkpoints that training.train wrote, in eval mode, and what they are.
    Raises CheckpointError."""
    kept = [checkpoint.read(path) for path in paths]
    told = [ingredient(path, one) for path, one in zip(paths, kept, strict=True)]
    if any(one.recipe.to_dict() != told[0].recipe.to_dict() for one in told):
        raise CheckpointError("these checkpoints are of different networks")
    if len(datasets := {one.dataset for one in told}) > 1:
        raise CheckpointError(f"these checkpoints learned from {', '.join(sorted(datasets))}")
    network, *_ = checkpoint.load(paths[0])
    network.load_state_dict(average([one["weights"] for one in kept]))
    return network, told


def ingredient(path: Path, kept: Mapping[str, Any]) -> Ingredient:
    """Raises CheckpointError where the file does not say how it was trained."""
    try:
        settings = TrainSettings.from_dict(kept["settings"])
        return Ingredient(Recipe.from_dict(kept["recipe"]), settings, str(kept["dataset"]))
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path} does not say how it was trained: {error}") from error


def largest_crop(told: Sequence[Ingredient]) -> tuple[int, int]:
    """(height, width) that holds every crop: what none of the runs reached lies beyond."""
    rows, columns = zip(*(one.settings.crop for one in told), strict=True)
    return max(rows), max(columns)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m training.soup",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoints", type=Path, nargs="+", help="of training.train")
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint to write")
    parser.add_argument("--data", type=Path, required=True, help="the dataset's folder")
    parser.add_argument(
        "--silence", action="store_true", help="set taps to 0 that no crop ever reached"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    given = parse(arguments)
    try:
        network, told = mix(given.checkpoints)
        first = told[0]
        if given.silence:
            silenced = silence_unreached(network, largest_crop(told))
            print(f"{silenced} weights that no crop reached are 0")
        measure_norms(
            network, open_dataset(first.dataset, given.data).clips("train"), first.settings
        )
        checkpoint.save(
            given.out,
            first.recipe,
            network.state_dict(),
            dataset=first.dataset,
            settings=first.settings.to_dict(),
            mixed=[path.name for path in given.checkpoints],
        )
    except (ValueError, OSError) as error:
        print(f"training.soup: {error}", file=sys.stderr)
        return 1
    print(f"written: {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
