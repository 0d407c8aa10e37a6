"""The server's own engines under its own contract: pictures and masks on the host, memories where
the engine keeps them. Each needs its library; what is absent here is said."""

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
    """An engine that cannot be had here, and why."""


@contextmanager
def artefact(recipe: Recipe, size: tuple[int, int], half: bool) -> Iterator[Path]:
    """The recipe with fresh weights as an ONNX file. Raises Absent where it cannot be exported."""
    to_onnx = _module("export.to_onnx")
    with TemporaryDirectory() as folder:
        weights, file = Path(folder) / "weights.pt", Path(folder) / "model.onnx"
        checkpoint.save(weights, recipe, build(recipe).state_dict(), dataset="camvid")
        to_onnx.export(weights, file, size, precision="fp16" if half else "fp32")
        yield file


def names() -> list[str]:
    """The engines of the server's table that compute something. Raises Absent."""
    return [name for name in _module("server.engines").ENGINES if name != "fake"]


def timings(
    name: str, model: Path, device: torch.device, batches: Sequence[int], seconds: float
) -> Generator[tuple[int, str, Timing], None, None]:
    """(batch, what really runs it, timing) of the engine ``name``. Raises Absent."""
    engine = _open(name, model, device, max(batches))
    try:
        for batch in batches:
            frames, held = _pictures(engine.spec, batch), [engine.blank()] * batch

            def step(frames: Any = frames, held: Any = held) -> None:
                held[:] = engine.step(frames, held)[1]

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
        raise Absent(f"here it runs on {engine.provider}, not on the GPU")
    return engine


def _module(name: str) -> Any:
    """A part of the house that needs more than torch. Raises Absent where that is not there."""
    try:
        return import_module(name)
    except ImportError as error:
        raise Absent(f"{error.name} is not installed") from error


def _pictures(spec: Any, batch: int) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    shape = (spec.height, spec.width, 3)
    return [np.random.default_rng(i).integers(0, 256, shape, np.uint8) for i in range(batch)]
