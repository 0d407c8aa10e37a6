"""Command line flags for the fields of settings and options: one table for each."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from models.options import ATTENTION_STRIDES, KEY_NORMS, MEMORY_VALUES, MIXINGS
from training.settings import OPTIMISERS, PRECISIONS


@dataclass(frozen=True, slots=True)
class Flag:
    """``--name``, by default the field's name, sets ``field``; a bool also has ``--no-name``.

    Two names in ``metavar`` mean that the flag takes two values.
    """

    field: str
    kind: Callable[[str], Any]
    help: str
    name: str = ""
    choices: Sequence[Any] | None = None
    metavar: tuple[str, ...] | None = None

    @property
    def key(self) -> str:
        """The name of the parsed argument."""
        return self.name or self.field


def stage_list(text: str) -> tuple[int, ...]:
    """Read stages such as ``1,4`` as (1, 4). Raises ArgumentTypeError for any other text."""
    try:
        stages = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        stages = (0,)
    if not set(stages) <= {1, 2, 3, 4}:
        raise argparse.ArgumentTypeError(
            f"Give stages as numbers from 1 to 4, such as 1,4, not {text!r}."
        )
    return stages


SETTINGS_FLAGS = (
    Flag("iterations", int, "number of iterations, each on one time step of a batch"),
    Flag("batch", int, "parallel clips"),
    Flag("clip_length", int, "frames of a clip"),
    Flag("memory_stride", int, "distance between consecutive frames of a clip, in labelled frames"),
    Flag("crop", int, "size of the crops in pixels", metavar=("HEIGHT", "WIDTH")),
    Flag("scale", float, "bounds of the scale jitter", metavar=("LOW", "HIGH")),
    Flag("still", float, "share of clips made of one drifting picture"),
    Flag("tone", float, "strength of random gamma, colour cast and blur; 0: none"),
    Flag("mix", float, "share of clips with a rectangle of another clip (CutMix)"),
    Flag("drop_path", float, "probability of skipping the trunk's last block; the first: 0"),
    Flag("dropout", float, "probability of dropping a value of DeepLabV3+'s context"),
    Flag("optimiser", str, "optimiser of the weights", choices=OPTIMISERS),
    Flag("rate", float, "highest learning rate of the head"),
    Flag("final_rate", float, "last learning rate of the head"),
    Flag("trunk_rate", float, "the trunk's learning rate, as a share of the head's"),
    Flag("memory_rate", float, "the memory's learning rate, as a share of the head's"),
    Flag("weight_decay", float, "decay of weights; norms and biases have none"),
    Flag("warm_up", int, "iterations of rising learning rate"),
    Flag("class_balance", float, "exponent of the class weights; 0: plain cross-entropy"),
    Flag("lovasz", float, "weight of the Lovász-Softmax loss relative to cross-entropy"),
    Flag("frozen_stages", int, "number of trunk stages that, with the stem, keep their weights"),
    Flag("frozen_norm", bool, "keep the statistics of the trunk's batch norms"),
    Flag("average", float, "decay of the running average of the weights; 0: none"),
    Flag("precision", str, "autocast; memory always computes in float32", choices=PRECISIONS),
    Flag("seed", int, "seed of weights, clips and augmentation"),
)
"""Every field of TrainSettings."""

MEMORY_FLAGS = (
    Flag("stages", stage_list, "stages with a memory, as in 1,4", name="memory_stages"),
    Flag("frames", int, "T: frames in memory", name="memory_frames"),
    Flag("ratio", float, "r: share of the channels that memory acts on", name="memory_ratio"),
    Flag("attention_stride", int, "down-sampling of the attention", choices=ATTENTION_STRIDES),
    Flag("key_norm", str, "how keys are normalised", choices=KEY_NORMS),
    Flag("memory_value", str, "channels that memory stores", choices=MEMORY_VALUES),
    Flag("enhanced_norm", bool, "batch norm and ReLU before eq. 3"),
    Flag("mixing", str, "how the recalled map joins the feature", choices=MIXINGS),
    Flag("judge", bool, "eq. 5 decides whether memory is used"),
)
"""Every field of MemoryOptions."""


def add_flags(parser: argparse.ArgumentParser, title: str, flags: Sequence[Flag]) -> None:
    """Add a titled group of flags; a flag that is not given is None."""
    group = parser.add_argument_group(title)
    for flag in flags:
        name, more = f"--{flag.key.replace('_', '-')}", _arguments(flag)
        group.add_argument(name, dest=flag.key, help=flag.help, **more)


def _arguments(flag: Flag) -> dict[str, Any]:
    if flag.kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    if flag.metavar:
        return {"type": flag.kind, "nargs": len(flag.metavar), "metavar": flag.metavar}
    return {"type": flag.kind, "choices": flag.choices}


def changes(given: argparse.Namespace, flags: Sequence[Flag]) -> dict[str, Any]:
    """Return the values of the fields whose flags were given."""
    values = {flag.field: getattr(given, flag.key) for flag in flags}
    return {
        field: tuple(value) if isinstance(value, list) else value
        for field, value in values.items()
        if value is not None
    }
