"""A common interface to the models that are evaluated: networks and exported files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from models import source
from models.segmenter import Memory, Segmenter
from models.spec import ClassLabel
from server.engines.host_memory import HostMemory
from server.engines.onnx_graph import read_spec
from server.engines.onnx_rt import OnnxEngine
from training.data.labels import DataError, Labels

Pixels = NDArray[np.uint8]
RUNTIMES = ("onnx", "torch")


class Stepped(NamedTuple):
    """Labels (H, W), the next memory, and the judge's statistic (eq. 4) of each stage.

    ``judge`` is empty if there is nothing to judge: no memory, or an empty one.
    """

    mask: Labels
    memory: Any
    judge: Mapping[int, float]


class Stepper(Protocol):
    """Segments frames, uint8 RGB (height, width, 3), with a memory that the caller keeps.

    ``frames`` is the number of frames in a memory, 0 for a network without memory; ``judges`` says
    whether it returns the judge's statistic.
    """

    @property
    def name(self) -> str: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def judges(self) -> bool: ...

    def blank(self) -> Any:
        """Return an empty memory."""

    def forget(self, memory: Any) -> Any:
        """Return the memory with count 0; the contents of its slots stay and must not matter."""

    def step(self, frame: Pixels, memory: Any) -> Stepped:
        """Segment one frame; ``memory`` is not modified."""


class NetworkStepper:
    """A PyTorch network in eval mode, on its own device, at ``size`` (height, width)."""

    def __init__(self, name: str, network: Segmenter, size: tuple[int, int]) -> None:
        options = network.encoder.options
        self.name, self.network, (self.height, self.width) = name, network, size
        self.frames = options.frames if options else 0
        self.judges = options is not None

    def blank(self) -> Memory:
        like = next(self.network.head.parameters()).detach()
        return self.network.encoder.blank(1, self.height, self.width, like)

    def forget(self, memory: Memory) -> Memory:
        return memory.forget(torch.ones_like(memory.count, dtype=torch.bool))

    @torch.no_grad()
    def step(self, frame: Pixels, memory: Memory) -> Stepped:
        picture = torch.from_numpy(frame[None]).to(memory.count.device)
        logits, features = self.network.logits(self.network.normalise(picture), memory)
        mask = logits[0].argmax(dim=0).to(torch.uint8).cpu().numpy()
        remembered = int(memory.count) > 0
        judge = {n: float(a) for n, a in features.judge.items()} if remembered else {}
        return Stepped(mask, features.memory, judge)


class ArtefactStepper:
    """An exported file run by ONNX Runtime. Such files do not output the judge's statistic."""

    judges = False

    def __init__(self, name: str, engine: OnnxEngine) -> None:
        self.name, self.engine = name, engine
        self.height, self.width = engine.spec.height, engine.spec.width
        self.frames = engine.spec.memory_frames

    def blank(self) -> HostMemory:
        return self.engine.blank()

    def forget(self, memory: HostMemory) -> HostMemory:
        return replace(memory, count=0)

    def step(self, frame: Pixels, memory: HostMemory) -> Stepped:
        (mask,), (kept,) = self.engine.step([frame], [memory])
        return Stepped(mask, kept, {})


@dataclass(frozen=True, slots=True)
class FakeMemory:
    """``slots`` holds the first value of each frame, newest first; ``count`` of them matter."""

    count: int = 0
    slots: tuple[int, ...] = ()


class FakeStepper:
    """Returns given masks: ``answers[count]`` if its memory holds ``count`` frames.

    ``given`` lists the memories that it received.
    """

    name = "fake"
    judges = True

    def __init__(self, answers: Sequence[Labels]) -> None:
        self.answers = answers
        self.height, self.width = answers[0].shape
        self.frames = len(answers) - 1
        self.given: list[FakeMemory] = []

    def blank(self) -> FakeMemory:
        return FakeMemory()

    def forget(self, memory: FakeMemory) -> FakeMemory:
        return replace(memory, count=0)

    def step(self, frame: Pixels, memory: FakeMemory) -> Stepped:
        self.given.append(memory)
        slots = (int(frame.flat[0]), *memory.slots)[: self.frames]
        kept = FakeMemory(min(memory.count + 1, self.frames), slots)
        judge = {1: 0.25 * memory.count} if memory.count else {}
        return Stepped(self.answers[memory.count], kept, judge)


def open_model(
    path: Path,
    size: tuple[int, int] | None = None,
    runtime: str | None = None,
    threads: int | None = None,
) -> tuple[Stepper, tuple[ClassLabel, ...]]:
    """Open a model and return it with its classes.

    ``runtime`` is one of RUNTIMES, by default ``onnx`` for an ``.onnx`` and ``torch`` for a
    ``.pt``. ``torch`` opens a ``.pt`` or rebuilds the network of an ``.onnx``, at ``size``
    (height, width) or the file's own. Raises SpecError, CheckpointError, OSError or MastreamError
    if the file cannot be used, DataError if it cannot run at that size.
    """
    runtime = runtime or ("onnx" if path.suffix == ".onnx" else "torch")
    if runtime == "onnx":
        return _open_artefact(path, size, threads)
    if threads:
        torch.set_num_threads(threads)
    network, _, spec = source.load(path)
    stepper = NetworkStepper(path.name, network, size or (spec.height, spec.width))
    return stepper, spec.classes


def _open_artefact(
    path: Path, size: tuple[int, int] | None, threads: int | None
) -> tuple[Stepper, tuple[ClassLabel, ...]]:
    spec = read_spec(path)
    if size and size != (spec.height, spec.width):
        raise DataError(
            f"{path.name} runs at {spec.width}x{spec.height} only; leave --size out, or rebuild "
            "its network with --runtime torch."
        )
    engine = OnnxEngine(path, max_batch=1, threads=threads)
    return ArtefactStepper(path.name, engine), spec.classes
