"""Measure which values a graph's tensors take on real frames, and fit uint8 levels to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from export.clips import Clip
from export.graph import names
from export.runners import blank
from models.spec import ModelSpec

LEVELS = 255
"""The largest level; the smallest is 0."""

SAMPLES = 4096
"""The number of values per tensor and frame that are kept, drawn at random."""

CLIPPINGS = np.linspace(0.3, 1.0, 29)
"""The shares of the whole range that are tried: clipping a few large values can make all other
values more precise."""


@dataclass(frozen=True)
class Range:
    """The values that uint8 levels represent: ``low`` <= 0 <= ``high``; 0 is exactly one level."""

    low: float
    high: float

    @property
    def scale(self) -> float:
        """The difference in value between two adjacent levels."""
        return max(self.high - self.low, 1e-6) / LEVELS

    @property
    def zero_point(self) -> int:
        """The level that represents 0."""
        return int(np.clip(round(-self.low / self.scale), 0, LEVELS))


def measure(
    model: ModelProto,
    spec: ModelSpec,
    tensors: Iterable[str],
    clips: Iterable[Clip],
) -> dict[str, Range]:
    """Return the range of each tensor over all frames, with memory fed back within each clip."""
    wanted = sorted(set(tensors))
    session = _observed(model, wanted)
    inputs, outputs = names(spec)
    kept: dict[str, list[NDArray[np.float32]]] = {name: [] for name in wanted}
    rng = np.random.default_rng(0)
    for clip in clips:
        held = blank(spec, 1)
        for frame in clip:
            fed = dict(zip(inputs, [frame[None], *held], strict=True))
            found = session.run([*outputs, *wanted], fed)
            held = found[1 : len(outputs)]
            for name, values in zip(wanted, found[len(outputs) :], strict=True):
                kept[name].append(_sampled(values, rng))
    return {name: fit(np.concatenate(samples)) for name, samples in kept.items()}


def _observed(model: ModelProto, tensors: list[str]) -> Any:
    """Return a session of the graph that also outputs these tensors."""
    seen = ModelProto()
    seen.CopyFrom(model)
    for name in tensors:
        seen.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        seen.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _sampled(values: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    drawn: NDArray[np.float32] = rng.choice(values.ravel(), min(SAMPLES, values.size))
    return drawn


def fit(values: NDArray[np.float32]) -> Range:
    """Return the range, among CLIPPINGS of the values' own, with the smallest squared error."""
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    tried = [Range(low * share, high * share) for share in CLIPPINGS]
    errors = [float(np.square(rounded(values, of) - values).sum()) for of in tried]
    return tried[int(np.argmin(errors))]


def rounded(values: NDArray[np.float32], of: Range) -> NDArray[np.float32]:
    """Return the values after rounding to uint8 levels."""
    levels = np.rint(values / of.scale + of.zero_point).clip(0, LEVELS)
    restored: NDArray[np.float32] = ((levels - of.zero_point) * of.scale).astype(np.float32)
    return restored
