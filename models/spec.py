"""ModelSpec: what an artefact says of itself. Needs neither torch nor numpy.

An ONNX file carries it as JSON under the metadata key ``mastream``; a TensorRT plan and a
checkpoint have it beside or inside them. Nothing else is known about a model by the server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

METADATA_KEY = "mastream"


class SpecError(ValueError):
    """A model description that is absent, incomplete or contradicts itself."""


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
    """All that a server, a client or an engine needs to know of one exported model.

    ``memory_frames`` is T, the FIFO's length in frames; ``memory_horizon`` is the number of past
    frames on which a result depends, None where unbounded. A model without memory has no stages
    and horizon 0. ``fingerprint`` is that of the trained weights it came from, however stored.

    ``precision`` is what the graph computes in: fp32, fp16, or int8, where the convolutions
    compute in int8 and all else, the memory too, in float32. ``weights`` is how they are stored:
    fp32, fp16, or int8 a channel.
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
            raise SpecError(f"a model's name must be one path segment, not {self.name!r}")
        if not 1 <= len(self.classes) <= 256:
            raise SpecError(f"{len(self.classes)} classes do not fit a uint8 mask")
        if self.height < 1 or self.width < 1:
            raise SpecError(f"a model's size must be positive, not {self.width}x{self.height}")
        if self.memory and self.memory_frames < 1:
            raise SpecError("a model with memory keeps at least one frame")

    @property
    def memory_bytes(self) -> int:
        """Bytes that one stream's memory takes in the graph's precision."""
        width = 2 if self.precision == "fp16" else 4
        per_frame = sum(m.tokens * (m.key_width + m.value_width) for m in self.memory)
        return per_frame * self.memory_frames * width

    @property
    def unpacks_weights(self) -> bool:
        """Stored as int8 for a graph that computes in floating point: they are best brought back
        once, when the file is loaded."""
        return self.weights == "int8" and self.precision != "int8"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Read what :meth:`to_json` wrote. Raises SpecError with the field that is wrong."""
        try:
            return cls.from_dict(json.loads(text))
        except json.JSONDecodeError as error:
            raise SpecError(f"the model's description is not JSON: {error}") from error

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> ModelSpec:
        if not isinstance(given, Mapping):
            raise SpecError("a model's description is a JSON object")
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
        except (KeyError, TypeError, ValueError) as error:
            raise SpecError(f"the model's description is incomplete: {error!r}") from error


def _triple(values: Sequence[Any], kind: Any) -> tuple[Any, Any, Any]:
    red, green, blue = (kind(value) for value in values)
    return red, green, blue
