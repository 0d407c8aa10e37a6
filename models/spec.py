"""ModelSpec: the self-description of an exported model. Needs neither torch nor numpy.

An ONNX file holds it as JSON under the metadata key ``mastream``; for a TensorRT plan it is in the
JSON file next to the plan. It is all that the server knows about a model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

METADATA_KEY = "mastream"


class SpecError(ValueError):
    """The description of a model is missing, incomplete or contradictory."""


@dataclass(frozen=True, slots=True)
class ClassLabel:
    """One class: its name and its RGB colour, each channel 0..255."""

    name: str
    colour: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class StageMemory:
    """Shapes of one stage's FIFO: key (T, tokens, key_width), value (T, tokens, value_width)."""

    stage: int
    tokens: int
    key_width: int
    value_width: int

    @property
    def key_name(self) -> str:
        return f"memory_key_{self.stage}"

    @property
    def value_name(self) -> str:
        return f"memory_value_{self.stage}"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything that a server, a client or an engine needs to know about an exported model.

    ``height`` and ``width`` are in pixels. ``mean`` and ``std`` normalise RGB values in 0..1.
    ``memory_frames`` is T, the length of the FIFO in frames; ``memory_horizon`` is the number of
    past frames on which a result depends, None if it is unbounded. A model without memory has no
    stages and horizon 0. ``fingerprint`` is that of the trained weights, however they are stored.

    ``precision`` is the type in which the graph computes: fp32, fp16 or int8. With int8 the
    convolutions compute in int8 and everything else, including the memory, in float32.
    ``weights`` is the type in which the weights are stored: fp32, fp16, or int8 with one scale per
    output channel.

    Raises SpecError if name, classes, size or memory are not allowed.
    """

    name: str
    head: str
    backbone: str
    classes: tuple[ClassLabel, ...]
    height: int
    width: int
    output_stride: int
    memory: tuple[StageMemory, ...]
    memory_frames: int
    memory_horizon: int | None
    preset: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    precision: str = "fp32"
    weights: str = "fp32"
    dataset: str = "none"
    licence: str = "Apache-2.0"
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise SpecError(f"A model's name must be one path segment, not {self.name!r}.")
        if not 1 <= len(self.classes) <= 256:
            raise SpecError(f"A model must have 1 to 256 classes, not {len(self.classes)}.")
        if self.height < 1 or self.width < 1:
            raise SpecError(f"A model's size must be positive, not {self.width}x{self.height}.")
        if self.memory and self.memory_frames < 1:
            raise SpecError("A model with memory must keep at least one frame.")

    @property
    def memory_bytes(self) -> int:
        """The size of one stream's memory in bytes, in the graph's precision."""
        width = 2 if self.precision == "fp16" else 4
        per_frame = sum(m.tokens * (m.key_width + m.value_width) for m in self.memory)
        return per_frame * self.memory_frames * width

    @property
    def unpacks_weights(self) -> bool:
        """Whether weights stored as int8 should be converted once, when the file is loaded.

        That is so if the graph computes in floating point.
        """
        return self.weights == "int8" and self.precision != "int8"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Read the result of :meth:`to_json`. Raises SpecError, naming the field that is wrong."""
        try:
            return cls.from_dict(json.loads(text))
        except json.JSONDecodeError as error:
            raise SpecError(
                f"The model's description is not JSON; export the model again ({error})."
            ) from error

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> ModelSpec:
        """Read the result of :meth:`to_dict`; unknown fields are ignored.

        Raises SpecError, naming the field that is missing or wrong.
        """
        if not isinstance(given, Mapping):
            raise SpecError("A model's description must be a JSON object; export the model again.")
        known = {field.name for field in fields(cls)}
        values = {key: value for key, value in given.items() if key in known}
        try:
            values["classes"] = tuple(
                ClassLabel(c["name"], _triple(c["colour"], int)) for c in given["classes"]
            )
            values["memory"] = tuple(StageMemory(**m) for m in given["memory"])
            values["mean"] = _triple(given["mean"], float)
            values["std"] = _triple(given["std"], float)
            return cls(**values)
        except SpecError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise SpecError(
                f"The model's description is incomplete; export the model again ({error!r})."
            ) from error


def _triple(values: Sequence[Any], kind: Any) -> tuple[Any, Any, Any]:
    red, green, blue = (kind(value) for value in values)
    return red, green, blue
