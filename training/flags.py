"""Flags of the command line, each a field of a frozen value: one table a value."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from models.options import ATTENTION_STRIDES, KEY_NORMS, MEMORY_VALUES, MIXINGS
from training.settings import OPTIMISERS, PRECISIONS


@dataclass(frozen=True, slots=True)
class Flag:
    """``--name`` (the field's where empty) sets ``field``; a bool has a ``--no-`` twin."""

    field: str
    kind: Callable[[str], Any]
    help: str
    name: str = ""
    choices: Sequence[Any] | None = None
    metavar: tuple[str, ...] | None = None
    """Two names: the flag takes two values."""

    @property
    def key(self) -> str:
        return self.name or self.field


def stage_list(text: str) -> tuple[int, ...]:
    """``1,4`` -> (1, 4). Raises ArgumentTypeError."""
    try:
        stages = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        stages = (0,)
    if not set(stages) <= {1, 2, 3, 4}:
        raise argparse.ArgumentTypeError(f"stages are numbers from 1 to 4 as in 1,4, not {text!r}")
    return stages


SETTINGS_FLAGS = (
    Flag("iterations", int, "instants to learn from"),
    Flag("batch", int, "parallel clips"),
    Flag("clip_length", int, "frames of a clip"),
    Flag("memory_stride", int, "frames from one remembered frame to the next"),
    Flag("crop", int, "size of what is learned from", metavar=("HEIGHT", "WIDTH")),
    Flag("scale", float, "bounds of the scale jitter", metavar=("LOW", "HIGH")),
    Flag("still", float, "share of clips made of one drifting picture"),
    Flag("tone", float, "strength of drawn gamma, colour cast and blur; 0: none"),
    Flag("mix", float, "share of clips that show a rectangle of another"),
    Flag("drop_path", float, "how often the trunk's last block is left out, the first never"),
    Flag("dropout", float, "how often a value of DeepLabV3+'s context is left out"),
    Flag("optimiser", str, "what updates the weights", choices=OPTIMISERS),
    Flag("rate", float, "highest learning rate of the head"),
    Flag("final_rate", float, "last learning rate of the head"),
    Flag("trunk_rate", float, "the trunk's learning rate, as a share of the head's"),
    Flag("memory_rate", float, "the memory's learning rate, as a share of the head's"),
    Flag("weight_decay", float, "of weights; norms and biases have none"),
    Flag("warm_up", int, "iterations of rising learning rate"),
    Flag("class_balance", float, "exponent of the class weights; 0: plain cross-entropy"),
    Flag("lovasz", float, "weight of the Lovász-Softmax loss beside cross-entropy"),
    Flag("frozen_stages", int, "trunk stages, with the stem, that keep their weights"),
    Flag("frozen_norm", bool, "keep the statistics of the trunk's batch norms"),
    Flag("average", float, "decay of the running average of the weights; 0: none"),
    Flag("precision", str, "autocast; the memory computes in float32 always", choices=PRECISIONS),
    Flag("seed", int, "of weights, clips and augmentation"),
)
"""Every field of TrainSettings (tested)."""

MEMORY_FLAGS = (
    Flag("stages", stage_list, "stages with a memory, as in 1,4", name="memory_stages"),
    Flag("frames", int, "T: frames that are remembered", name="memory_frames"),
    Flag("ratio", float, "r: share of the channels that memory acts on", name="memory_ratio"),
    Flag("attention_stride", int, "down-sampling of the attention", choices=ATTENTION_STRIDES),
    Flag("key_norm", str, "how keys are normalised", choices=KEY_NORMS),
    Flag("memory_value", str, "what of a frame is remembered", choices=MEMORY_VALUES),
    Flag("enhanced_norm", bool, "batch norm and ReLU before eq. 3"),
    Flag("mixing", str, "how what was recalled joins the feature", choices=MIXINGS),
    Flag("judge", bool, "eq. 5 decides whether memory has its say"),
)
"""Every field of MemoryOptions (tested)."""


def add_flags(parser: argparse.ArgumentParser, title: str, flags: Sequence[Flag]) -> None:
    """A titled group of flags, each None where it is not given."""
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
    """The fields whose flags were given."""
    told = {flag.field: getattr(given, flag.key) for flag in flags}
    return {
        field: tuple(value) if isinstance(value, list) else value
        for field, value in told.items()
        if value is not None
    }
