"""Average the weights of several runs: ``python -m training.soup A.pt B.pt --out SOUP.pt``.

Runs from the same start with different seeds, batches and augmentation end in the same basin of the
loss. The mean of their weights often has a lower loss than each of them (Wortsman et al. 2022) and
costs no more to serve. The statistics of trained batch norms are measured again on the training
pictures of ``--data``, because those of the averaged network are not the mean of the runs'.
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

DIFFERENT = "These checkpoints are of different networks; choose those of one network."

BATCHES = 40
"""The number of batches of clips on which the norms are measured."""


@dataclass(frozen=True, slots=True)
class Ingredient:
    """The recipe, settings and dataset of a checkpoint."""

    recipe: Recipe
    settings: TrainSettings
    dataset: str


def average(weights: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each weight; counters are those of the first checkpoint.

    Raises CheckpointError if names or shapes differ.
    """
    first = weights[0]
    shapes = [{name: held.shape for name, held in one.items()} for one in weights]
    if any(shape != shapes[0] for shape in shapes):
        raise CheckpointError(DIFFERENT)
    return {
        name: torch.stack([one[name] for one in weights]).mean(0)
        if held.is_floating_point()
        else held
        for name, held in first.items()
    }


@torch.no_grad()
def measure_norms(network: Segmenter, clips: Sequence[Clip], settings: TrainSettings) -> None:
    """Set the statistics of every trained norm to their mean over BATCHES batches of clips.

    Memory is passed on as in training; with ``frozen_norm`` the trunk's norms are not changed.
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
    """Return the averaged network of training.train's checkpoints, in eval mode, and what they are.

    Raises CheckpointError if one cannot be used, or if networks or datasets differ.
    """
    kept = [checkpoint.read(path) for path in paths]
    ingredients = [ingredient(path, one) for path, one in zip(paths, kept, strict=True)]
    if any(one.recipe.to_dict() != ingredients[0].recipe.to_dict() for one in ingredients):
        raise CheckpointError(DIFFERENT)
    if len(datasets := {one.dataset for one in ingredients}) > 1:
        raise CheckpointError(
            f"These checkpoints learned from {', '.join(sorted(datasets))}; choose one dataset."
        )
    network, *_ = checkpoint.load(paths[0])
    network.load_state_dict(average([one["weights"] for one in kept]))
    return network, ingredients


def ingredient(path: Path, kept: Mapping[str, Any]) -> Ingredient:
    """Return what ``kept``, the content of ``path``, says about its training.

    Raises CheckpointError if it does not say how it was trained.
    """
    try:
        settings = TrainSettings.from_dict(kept["settings"])
        return Ingredient(Recipe.from_dict(kept["recipe"]), settings, str(kept["dataset"]))
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path} does not say how it was trained; leave it out ({error})."
        ) from error


def largest_crop(ingredients: Sequence[Ingredient]) -> tuple[int, int]:
    """Return the (height, width) that contains every crop; no run reached anything beyond it."""
    rows, columns = zip(*(one.settings.crop for one in ingredients), strict=True)
    return max(rows), max(columns)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m training.soup",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoints", type=Path, nargs="+", help="files that training.train wrote")
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint to write")
    parser.add_argument("--data", type=Path, required=True, help="the dataset's folder")
    parser.add_argument(
        "--silence", action="store_true", help="set the taps to 0 that no crop reached"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    given = parse(arguments)
    try:
        network, ingredients = mix(given.checkpoints)
        first = ingredients[0]
        if given.silence:
            silenced = silence_unreached(network, largest_crop(ingredients))
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
