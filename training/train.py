"""Train a network on CamVid: ``python -m training.train --data DIR --out RUN``.

A run is a pure function of its settings on CPU: killed at any moment and started again with the
same command, it goes on from its last checkpoint to the same result.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import SafetensorError
from safetensors.torch import load_file

from models import checkpoint
from models.backbone import load_imagenet
from models.build import Recipe, build, parse_name
from models.classes import CAMVID_CLASSES
from models.segmenter import Segmenter
from training.augment import AugmentOptions
from training.batches import plan_epoch, steps
from training.datasets import Clip, DataError, camvid, class_shares
from training.learner import Learner
from training.settings import RECIPES, TrainSettings, recipe_settings

OVERRIDES: dict[str, type] = {
    "iterations": int,
    "batch": int,
    "clip_length": int,
    "seed": int,
    "memory_stride": int,
    "rate": float,
    "frozen_stages": int,
    "still": float,
}
"""Fields of a recipe that a flag of the same name replaces."""


def train(learner: Learner, clips: list[Clip]) -> Iterator[tuple[int, float]]:
    """Go on from the learner's iteration; yields (iteration, loss) at each batch's end.

    Only between batches of clips is a state complete: memory lives within one.
    """
    settings = learner.settings
    augment = AugmentOptions(settings.crop, settings.scale, still=settings.still)
    epoch, passed = 0, 0
    while learner.iteration < settings.iterations:
        batches = plan_epoch(
            clips,
            settings.clip_length,
            settings.memory_stride,
            settings.batch,
            settings.seed,
            epoch,
        )
        if not batches:
            raise DataError("not one full batch of clips: lower --batch or --clip-length")
        for windows in batches:
            passed += settings.clip_length
            if passed > learner.iteration:
                memory = learner.network.encoder.blank(
                    settings.batch, *settings.crop, torch.ones(1)
                )
                for step in steps(windows, augment):
                    loss, memory = learner.learn(step, memory)
                yield learner.iteration, loss
                if learner.iteration >= settings.iterations:
                    return
        epoch += 1


def run(
    recipe: Recipe,
    settings: TrainSettings,
    data: Path,
    start: Path | None,
    out: Path,
    every: int,
) -> Path:
    """Train to the end, keeping a checkpoint every ``every`` iterations; returns its path."""
    path = out / "last.pt"
    clips = camvid(data, "train")
    torch.manual_seed(settings.seed)
    learner = Learner(_begin(recipe, start), settings, _balance(clips, recipe, settings))
    if path.exists():
        _resume(learner, path, recipe)
    kept = learner.iteration
    with _progress(settings.iterations, learner.iteration) as progress:
        for iteration, loss in train(learner, clips):
            progress(iteration, loss)
            if iteration - kept >= every or iteration >= settings.iterations:
                _keep(learner, recipe, path)
                kept = iteration
    return path


def _begin(recipe: Recipe, start: Path | None) -> Segmenter:
    """The network with fresh weights, ImageNet's in its trunk, or all of a checkpoint's."""
    network = build(recipe)
    if start is None:
        return network
    if start.suffix == ".pt":
        return checkpoint.rebuild(checkpoint.load(start)[0], recipe)
    try:
        load_imagenet(network.encoder.trunk, load_file(start))
    except SafetensorError as error:
        raise DataError(f"{start} is neither a .safetensors file nor a .pt: {error}") from error
    return network


def _balance(clips: list[Clip], recipe: Recipe, settings: TrainSettings) -> torch.Tensor:
    """(median share / share) ** class_balance of each class; 1 where the exponent is 0."""
    shares = class_shares(clips, recipe.classes).clip(min=1e-6)
    weights = (np.median(shares) / shares) ** settings.class_balance
    return torch.tensor(weights, dtype=torch.float32)


def _resume(learner: Learner, path: Path, recipe: Recipe) -> None:
    kept = checkpoint.read(path)
    if kept["recipe"] != recipe.to_dict() or kept["settings"] != learner.settings.to_dict():
        raise DataError(f"{path} was made with other settings: give them again, or another --out")
    learner.restore(kept["weights"], kept["training"])


def _keep(learner: Learner, recipe: Recipe, path: Path) -> None:
    checkpoint.save(
        path,
        recipe,
        learner.average,
        dataset="camvid",
        settings=learner.settings.to_dict(),
        training=learner.state(),
    )


class _progress:  # noqa: N801  # reads as a verb where it is used
    """A bar on a terminal, a line now and then elsewhere."""

    def __init__(self, total: int, start: int) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}"),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, disable=not sys.stderr.isatty())
        self.task = self.bar.add_task("training", total=total, completed=start)
        self.smooth: float | None = None

    def __enter__(self) -> _progress:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def __call__(self, iteration: int, loss: float) -> None:
        self.smooth = loss if self.smooth is None else 0.95 * self.smooth + 0.05 * loss
        self.bar.update(self.task, completed=iteration, description=f"loss {self.smooth:.3f}")
        if self.bar.disable and iteration % 20 == 0:
            print(f"iteration {iteration} loss {self.smooth:.4f}", flush=True)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m training.train", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="CamVid in the SegNet layout")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--model", default="deeplabv3plus-ma-resnet50")
    parser.add_argument("--output-stride", type=int, default=16, choices=(8, 16, 32))
    parser.add_argument("--preset", default="default")
    parser.add_argument(
        "--start",
        type=Path,
        help="ImageNet weights under torchvision's names (.safetensors) or a checkpoint (.pt)",
    )
    parser.add_argument("--recipe", default="default", choices=tuple(RECIPES))
    parser.add_argument("--every", type=int, default=100, help="iterations between checkpoints")
    parser.add_argument("--threads", type=int, help="CPU threads")
    for name, kind in OVERRIDES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind)
    parser.add_argument("--crop", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"))
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    given = parse(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    changes = {name: getattr(given, name) for name in OVERRIDES}
    crop = tuple(given.crop) if given.crop else None
    try:
        head, encoder = parse_name(given.model)
        recipe = Recipe(head, encoder, len(CAMVID_CLASSES), given.output_stride, given.preset)
        settings = recipe_settings(given.recipe, crop=crop, **changes)
        path = run(recipe, settings, given.data, given.start, given.out, given.every)
    except (ValueError, OSError) as error:
        print(f"training.train: {error}", file=sys.stderr)
        return 1
    print(f"trained: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
