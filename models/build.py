"""Build the named networks: ``<head>-<encoder>``, such as ``deeplabv3plus-ma-resnet50_vd``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import Any

from models.backbone import STAGE_CHANNELS, ResNet50
from models.options import UNSPELLED, MemoryOptions, memory_options
from models.segmenter import MaResNet50, Segmenter

HEADS = {
    "deeplabv3plus": "models.heads.deeplabv3plus:DeepLabV3Plus",
    "pspnet": "models.heads.pspnet:PSPNet",
    "pspnet1024": "models.heads.pspnet:PSPNet1024",
    "sfnet": "models.heads.sfnet:SFNet",
    "dnlnet": "models.heads.dnlnet:DNLNet",
}
ENCODERS = ("resnet50", "resnet50_vd", "ma-resnet50", "ma-resnet50_vd")

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a network's architecture; checkpoints store it with the weights.

    ``memory`` holds the options that differ from ``preset``; ``mean`` and ``std`` normalise RGB
    values in 0..1. Raises ValueError if the head or the encoder is unknown.
    """

    head: str = "deeplabv3plus"
    encoder: str = "ma-resnet50"
    classes: int = 11
    output_stride: int = 16
    preset: str = "default"
    memory: dict[str, Any] = field(default_factory=dict)
    mean: tuple[float, float, float] = IMAGENET[0]
    std: tuple[float, float, float] = IMAGENET[1]

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise ValueError(f"There is no head {self.head!r}; choose from {', '.join(HEADS)}.")
        if self.encoder not in ENCODERS:
            raise ValueError(
                f"There is no encoder {self.encoder!r}; choose from {', '.join(ENCODERS)}."
            )

    @property
    def name(self) -> str:
        return f"{self.head}-{self.encoder}"

    @property
    def options(self) -> MemoryOptions | None:
        """The memory's options; None for an encoder without memory.

        Raises ValueError if the preset or a value is unknown, TypeError if an option is.
        """
        if not self.encoder.startswith("ma-"):
            return None
        return memory_options(self.preset, **self.memory)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe with every memory option, because a preset's values may change."""
        options = self.options
        return {**asdict(self), "memory": asdict(options) if options else {}}

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> Recipe:
        """Read the result of :meth:`to_dict`. Raises ValueError if no network fits it."""
        triples: dict[str, Any] = {k: tuple(given[k]) for k in ("mean", "std") if k in given}
        memory = given.get("memory", {})
        remembers = given.get("encoder", cls.encoder).startswith("ma-")
        if remembers and given.get("preset") == "default" and "mixing" not in memory:
            memory = UNSPELLED | memory
        try:
            recipe = cls(**{**given, **triples, "memory": memory})
            _ = recipe.options
        except TypeError as error:
            raise ValueError(
                f"The recipe was written by another version of mastream; use that one ({error})."
            ) from error
        return recipe


def parse_name(name: str) -> tuple[str, str]:
    """Split a name such as ``deeplabv3plus-ma-resnet50`` into head and encoder.

    Raises ValueError, listing the choices, if either is unknown.
    """
    head, _, encoder = name.partition("-")
    Recipe(head=head, encoder=encoder)
    return head, encoder


def build(recipe: Recipe) -> Segmenter:
    """Return the recipe's network with freshly initialised weights."""
    trunk = ResNet50(recipe.output_stride, vd=recipe.encoder.endswith("_vd"))
    module, _, name = HEADS[recipe.head].partition(":")
    head_class = getattr(import_module(module), name)
    head = head_class(STAGE_CHANNELS, recipe.classes, recipe.output_stride)
    chosen = recipe.options
    stages = (chosen.stages or head_class.stages) if chosen else ()
    return Segmenter(MaResNet50(trunk, stages, chosen), head, recipe.mean, recipe.std)
