"""Run the served graph: a file in ONNX Runtime or a network in PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from export.graph import names
from models.memory import StageFifo
from models.segmenter import Memory, Segmenter
from models.spec import ModelSpec

Arrays = list[NDArray[Any]]


class Steps(Protocol):
    """Anything that computes the served graph."""

    def step(self, held: Arrays) -> Arrays:
        """Return mask, count, keys and values of frame, count, keys and values.

        Frames are uint8 (B, H, W, 3), masks uint8 (B, H, W).
        """


class Runner:
    """A file, or its content, run by ONNX Runtime on the CPU."""

    def __init__(self, path: Path | bytes, spec: ModelSpec) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # warnings would list weights kept only for their names
        if spec.unpacks_weights:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self.inputs, self.outputs = names(spec)

    def step(self, held: Arrays) -> Arrays:
        results: Arrays = self.session.run(self.outputs, dict(zip(self.inputs, held, strict=True)))
        return results


def blank(spec: ModelSpec, batch: int, filling: float = 0.0) -> Arrays:
    """Return count, keys and values of ``batch`` empty streams, with slots set to ``filling``."""
    kind = np.float16 if spec.precision == "fp16" else np.float32
    shapes = [(m.tokens, m.key_width) for m in spec.memory]
    shapes += [(m.tokens, m.value_width) for m in spec.memory]
    slots = [np.full((batch, spec.memory_frames, *shape), filling, kind) for shape in shapes]
    return [np.zeros(batch, np.int64), *slots]


@dataclass(frozen=True)
class TorchRunner:
    """A network run by PyTorch in float32."""

    network: Segmenter

    @torch.no_grad()
    def step(self, held: Arrays) -> Arrays:
        frame, count, *fifos = (
            torch.from_numpy(a).to(torch.float32) if a.dtype == np.float16 else torch.from_numpy(a)
            for a in held
        )
        stages = len(fifos) // 2
        memory = Memory(count, tuple(map(StageFifo, fifos[:stages], fifos[stages:])))
        mask, kept = self.network.step(frame, memory)
        out = (mask, kept.count, *(f.key for f in kept.fifos), *(f.value for f in kept.fifos))
        return [tensor.numpy() for tensor in out]
