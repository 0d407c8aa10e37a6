"""One network of several that began alike: ``python -m training.soup A.pt B.pt --out SOUP.pt``.

Runs from one start with other seeds, batches and augmentation end in one valley of the loss; the
mean of their weights lies deeper in it than each of them (Wortsman et al. 2022) and costs no more
to serve. The head's batch norms are measured again on the training pictures of ``--data``: the mean
of networks has other statistics than the mean of theirs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

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
    """Give the head's norms the mean of their statistics over BATCHES batches."""
    norms = [m for m in network.head.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean
        norm.train()
    for windows in islice(plan_run(clips, settings), BATCHES):
        for step in make_batch(windows, augmentation(settings), pinned=False):
            memory = network.encoder.blank(settings.batch, *settings.crop, network.mean)
            network.logits(network.normalise(step.frames), memory)
    network.eval()


def mix(paths: Sequence[Path]) -> tuple[Segmenter, Recipe, TrainSettings, str]:
    """The mean network of checkpoints that training.train wrote, in eval mode; its recipe, the
    first one's settings, its dataset. Raises CheckpointError."""
    kept = [checkpoint.read(path) for path in paths]
    if any(one["recipe"] != kept[0]["recipe"] for one in kept):
        raise CheckpointError("these checkpoints are of different networks")
    network, recipe, _ = checkpoint.load(paths[0])
    network.load_state_dict(average([one["weights"] for one in kept]))
    settings = TrainSettings.from_dict(kept[0]["settings"])
    return network, recipe, settings, str(kept[0]["dataset"])


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
        network, recipe, settings, name = mix(given.checkpoints)
        if given.silence:
            print(f"{silence_unreached(network, settings.crop)} weights that no crop reached are 0")
        clips = open_dataset(name, given.data).clips("train")
        measure_norms(network, clips, replace(settings, clip_length=1))
        checkpoint.save(
            given.out,
            recipe,
            network.state_dict(),
            dataset=name,
            settings=settings.to_dict(),
            mixed=[path.name for path in given.checkpoints],
        )
    except (ValueError, OSError) as error:
        print(f"training.soup: {error}", file=sys.stderr)
        return 1
    print(f"written: {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
