"""The rows of a series: the differences between its runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from models.build import Recipe
from models.options import UNSPELLED


@dataclass(frozen=True)
class Experiment:
    """One row.

    ``memory`` holds the options that differ from the default's; None means no memory. ``changes``
    are the fields of the training settings that differ from the series'.
    """

    name: str
    head: str = "deeplabv3plus"
    memory: dict[str, Any] | None = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)

    def recipe(self, classes: int, output_stride: int) -> Recipe:
        """Return the recipe of the row's network."""
        encoder = "resnet50" if self.memory is None else "ma-resnet50"
        return Recipe(self.head, encoder, classes, output_stride, memory=self.memory or {})

    @property
    def slug(self) -> str:
        """Head and name, as part of a file's name."""
        words = f"{self.head}-{self.name}".lower().replace("/", "_")
        return "".join(c if c.isalnum() or c in "-_" else "-" for c in words)


EXPERIMENTS = (
    Experiment("baseline", memory=None),
    Experiment("default"),
    Experiment("T=1", memory={"frames": 1}),
    Experiment("T=3", memory={"frames": 3}),
    Experiment("r=1/8", memory={"ratio": 0.125}),
    Experiment("r=1/2", memory={"ratio": 0.5}),
    Experiment("judge", memory={"judge": True}),
    Experiment("value enhanced", memory={"memory_value": "enhanced"}),
    Experiment("keys as released", memory={"key_norm": "softmax"}),
    Experiment("raw keys", memory={"key_norm": "none"}),
    Experiment("added", memory={"mixing": "add"}),
    Experiment("as released", memory=UNSPELLED),
    Experiment("stage 1", memory={"stages": [1]}),
    Experiment("stages 1, 4", memory={"stages": [1, 4]}),
    Experiment("still clips", changes={"still": 0.5}),
    Experiment("memory rate 1", changes={"memory_rate": 1.0}),
    Experiment("baseline", head="pspnet", memory=None),
    Experiment("default", head="pspnet"),
)
