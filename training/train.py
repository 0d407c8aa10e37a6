"""Train a network on a dataset: ``python -m training.train --data DIR --out RUN``.

On a CPU a run is a pure function of its settings: if it is killed at any moment, the same command
continues from its last checkpoint to the same result.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from models.build import Recipe, parse_name
from models.options import PRESETS
from training.data.datasets import FINDERS, SPLITS, open_dataset
from training.flags import MEMORY_FLAGS, SETTINGS_FLAGS, add_flags, changes
from training.learning.running import RunOptions, run
from training.learning.validation import ValidationOptions
from training.settings import FREEZES, RECIPES, TrainSettings, recipe_settings


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m training.train", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the dataset's folder")
    parser.add_argument("--dataset", default="camvid", choices=tuple(FINDERS))
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--model",
        default="deeplabv3plus-ma-resnet50",
        help="head and encoder (default deeplabv3plus-ma-resnet50)",
    )
    parser.add_argument("--output-stride", type=int, default=16, choices=(8, 16, 32))
    parser.add_argument("--preset", default="default", choices=tuple(PRESETS))
    parser.add_argument(
        "--start",
        type=Path,
        help="ImageNet weights under torchvision's names (.safetensors), a checkpoint (.pt) or an "
        "exported file (.onnx)",
    )
    parser.add_argument("--recipe", default="default", choices=tuple(RECIPES))
    parser.add_argument(
        "--freeze", choices=tuple(FREEZES), help="freeze the trunk; only memory and head learn"
    )
    add_flags(parser, "settings, by default the recipe's", SETTINGS_FLAGS)
    add_flags(parser, "options of the memory, by default the preset's", MEMORY_FLAGS)
    _add_options(parser.add_argument_group("execution"))
    return parser.parse_args(arguments)


def _add_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    group.add_argument("--threads", type=int, help="CPU threads")
    group.add_argument("--workers", type=int, help="threads that prepare batches")
    group.add_argument("--every", type=int, default=100, help="iterations between checkpoints")
    group.add_argument(
        "--validate", type=int, default=0, help="iterations between validations; 0: none"
    )
    group.add_argument("--validate-split", default="val", choices=SPLITS)
    group.add_argument(
        "--validate-frames", type=int, default=0, help="about how many frames to use; 0: all"
    )
    group.add_argument(
        "--validate-size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="size in pixels (default: the pictures' own)",
    )


def recipe_of(given: argparse.Namespace, classes: int) -> Recipe:
    """Return the network's recipe.

    Raises ValueError if the model is unknown, an option is out of range, or options of a memory
    are given for a network without memory.
    """
    head, encoder = parse_name(given.model)
    memory = changes(given, MEMORY_FLAGS)
    recipe = Recipe(head, encoder, classes, given.output_stride, given.preset, memory)
    if memory and recipe.options is None:
        raise ValueError(f"{given.model} has no memory; leave out its {', '.join(memory)}.")
    return recipe


def settings_of(given: argparse.Namespace) -> TrainSettings:
    """Return the recipe's settings, changed by ``--freeze`` and then by the individual flags."""
    frozen = FREEZES.get(given.freeze, {})
    return recipe_settings(given.recipe, **frozen | changes(given, SETTINGS_FLAGS))


def options_of(given: argparse.Namespace) -> RunOptions:
    size = tuple(given.validate_size) if given.validate_size else None
    validation = ValidationOptions(
        given.validate, given.validate_split, given.validate_frames, size
    )
    return RunOptions(given.device, given.every, given.workers, validation)


def main(arguments: list[str] | None = None) -> int:
    given = parse(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    try:
        dataset = open_dataset(given.dataset, given.data)
        recipe, settings = recipe_of(given, len(dataset.classes)), settings_of(given)
        path = run(recipe, settings, dataset, given.start, given.out, options_of(given))
    except (ValueError, OSError) as error:
        print(f"training.train: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("training.train: Interrupted; run the same command to continue.", file=sys.stderr)
        return 130
    print(f"trained: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
