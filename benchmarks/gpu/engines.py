"""Measure the server's engines under their contract: pictures and masks on the host, memories
wherever the engine keeps them. Each needs its library; missing ones are reported."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.timing import Timing, measure
from models import checkpoint
from models.build import Recipe, build


class Absent(Exception):
    """An engine is not available here; the message says why."""


@contextmanager
def artefact(recipe: Recipe, size: tuple[int, int], half: bool) -> Iterator[Path]:
    """Yield an ONNX file of the recipe with random weights. Raises Absent if export fails."""
    to_onnx = _module("export.to_onnx")
    with TemporaryDirectory() as folder:
        weights, file = Path(folder) / "weights.pt", Path(folder) / "model.onnx"
        checkpoint.save(weights, recipe, build(recipe).state_dict(), dataset="camvid")
        to_onnx.export(weights, file, size, precision="fp16" if half else "fp32")
        yield file


def names() -> list[str]:
    """Return the names of the server's engines that compute something. Raises Absent."""
    return [name for name in _module("server.engines").ENGINES if name != "fake"]


def timings(
    name: str, model: Path, device: torch.device, batches: Sequence[int], seconds: float
) -> Generator[tuple[int, str, Timing], None, None]:
    """Yield (batch, actual provider, timing) of the engine ``name``. Raises Absent."""
    engine = _open(name, model, device, max(batches))
    try:
        for batch in batches:
            frames, memories = _pictures(engine.spec, batch), [engine.blank()] * batch

            def step(frames: Any = frames, memories: Any = memories) -> None:
                memories[:] = engine.step(frames, memories)[1]

            yield batch, engine.provider, measure(step, device, batch, seconds)
    finally:
        engine.close()


def _open(name: str, model: Path, device: torch.device, max_batch: int) -> Any:
    engines, settings = _module("server.engines"), _module("server.settings")
    wanted = settings.EngineSettings(name=name, model=model, max_batch=max_batch)
    try:
        engine = engines.make_engine(wanted)
    except _module("server.errors").MastreamError as error:
        raise Absent(str(error)) from error
    if device.type == "cuda" and engine.provider.startswith("CPU"):
        engine.close()
        raise Absent(f"It runs on {engine.provider} here, not on the GPU.")
    return engine


def _module(name: str) -> Any:
    """Import a module of mastream that needs more than torch. Raises Absent if that is missing."""
    try:
        return import_module(name)
    except ImportError as error:
        raise Absent(f"{error.name} is not installed.") from error


def _pictures(spec: Any, batch: int) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    shape = (spec.height, spec.width, 3)
    return [np.random.default_rng(i).integers(0, 256, shape, np.uint8) for i in range(batch)]
