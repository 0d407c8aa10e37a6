"""Measure one scene after another; each adds rows to the report while time is left."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from benchmarks.gpu import engines, streams
from benchmarks.gpu.feeds import FEEDS, make_feed
from benchmarks.gpu.kernels import hottest
from benchmarks.gpu.machine import Work, survey, work
from benchmarks.gpu.network import Network
from benchmarks.gpu.report import KernelRow, Report, Row, StreamRow
from benchmarks.gpu.timing import Timing, measure
from models.build import Recipe

OUTPUT_STRIDE = 8
MACHINE = "the machine"
EXCLUDED = "excluded"
STREAMED = (EXCLUDED, "jpeg", "nvdec")


@dataclass(frozen=True)
class Options:
    """What to measure: ``seconds`` per row, ``stream_seconds`` per number of streams, nothing new
    after ``deadline`` (time.monotonic())."""

    device: torch.device
    dtype: torch.dtype
    heads: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    batches: tuple[int, ...]
    seconds: float
    stream_seconds: float
    stream_counts: tuple[int, ...]
    deadline: float
    tiny: bool = False
    artefacts: tuple[tuple[str, Path], ...] = ()
    only: str = ""

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.deadline


@dataclass(frozen=True)
class Subject:
    """One network at one picture size (height, width)."""

    head: str
    size: tuple[int, int]
    memory: bool = True

    def __str__(self) -> str:
        return f"{self.head}{' MA' if self.memory else ''} {self.size[1]}x{self.size[0]}"

    @property
    def recipe(self) -> Recipe:
        encoder = "ma-resnet50" if self.memory else "resnet50"
        return Recipe(head=self.head, encoder=encoder, output_stride=OUTPUT_STRIDE)


Scene = Callable[[], None]


class Bench:
    """Measures what the options select and adds it to the report."""

    def __init__(self, options: Options, report: Report) -> None:
        self._options = options
        self._report = report
        self._work: dict[Subject, Work] = {}

    def run(self) -> None:
        """Measure every scene until time is up; one that fails does not stop the others."""
        for name, scene in self._scenes():
            if self._options.over:
                return
            if self._options.only not in name and name != MACHINE:
                continue
            print(name, flush=True)
            with self._reported(name):
                scene()
        self._report.complete = True
        self._report.save()

    def _scenes(self) -> Iterator[tuple[str, Scene]]:
        """Yield the scenes, the most important first: the first head at the first size."""
        yield MACHINE, self._survey
        sizes, heads = self._options.sizes, self._options.heads
        first, plain = (Subject(heads[0], sizes[0], memory) for memory in (True, False))
        for subject in (first, plain):
            yield str(subject), lambda s=subject: self._by_batch(s)  # type: ignore[misc]
        yield f"{first}: live streams", lambda: self._live(first)
        yield f"{first}: decoding", lambda: self._decoding(first)
        yield f"{first}: kernels", lambda: self._kernels(first)
        for size in sizes:
            for head in heads:
                for memory in (True, False):
                    subject = Subject(head, size, memory)
                    if subject not in (first, plain):
                        yield str(subject), lambda s=subject: self._by_batch(s)  # type: ignore[misc]
        yield f"{first}: the server's engines", lambda: self._served(first)
        for subject in (first, plain):
            yield f"{subject}: torch.compile", lambda s=subject: self._compiled(s)  # type: ignore[misc]

    def _survey(self) -> None:
        o = self._options
        self._report.machine = survey(o.device, o.dtype, o.seconds, o.tiny)
        self._report.save()

    def _by_batch(self, subject: Subject) -> None:
        """Add a row for each batch size, with the pictures on the device."""
        network = self._network(subject, self._options.batches[-1])
        self._step_each(subject, network, self._options.batches, self._engine)

    def _compiled(self, subject: Subject) -> None:
        """Measure only the smallest and the largest batch, since compiling takes long."""
        if self._options.device.type != "cuda":
            raise engines.Absent("It is measured only on a GPU.")
        smallest, *_, largest = self._options.batches
        network = self._network(subject, largest, compiled=True)
        self._step_each(subject, network, (smallest, largest), f"{self._engine}, torch.compile")

    def _step_each(
        self, subject: Subject, network: Network, batches: Sequence[int], engine: str
    ) -> None:
        for batch in batches:
            if self._options.over:
                return
            network.prepare(batch)
            found = self._measure(lambda n=batch: network.step(n), batch)  # type: ignore[misc]
            self._add(subject, batch, engine, EXCLUDED, found)

    def _decoding(self, subject: Subject) -> None:
        """Add rows with decoding included, at the largest batch."""
        batch = self._options.batches[-1]
        network = self._network(subject, batch)
        network.prepare(batch)
        for name in FEEDS:
            if name != EXCLUDED:
                with self._reported(f"decoding, {name}"):
                    self._fed(subject, network, batch, name)

    def _fed(self, subject: Subject, network: Network, batch: int, name: str) -> None:
        with closing(make_feed(name, network)) as feed:

            def step() -> None:
                feed.fill(batch)
                network.step(batch)

            self._add(subject, batch, self._engine, feed.name, self._measure(step, batch))

    def _live(self, subject: Subject) -> None:
        """Measure live streams, with decoding excluded and included."""
        network = self._network(subject, self._options.stream_counts[-1])
        for batch in self._options.batches:
            network.prepare(batch)
        for name in STREAMED:
            with self._reported(f"streams, {name}"):
                self._climb(subject, network, name)

    def _climb(self, subject: Subject, network: Network, name: str) -> None:
        o = self._options
        with closing(make_feed(name, network)) as feed:
            for load in streams.climb(network, feed, o.stream_seconds, counts=o.stream_counts):
                found = (load.p50, load.p99, load.mean_batch, load.holds)
                row = StreamRow(subject.head, subject.size, feed.name, load.streams, *found)
                self._report.add(row)
                if o.over:
                    return

    def _kernels(self, subject: Subject) -> None:
        """Add the kernels that take most of a step's time, at the largest batch."""
        batch = self._options.batches[-1]
        network = self._network(subject, batch)
        network.prepare(batch)
        for name, share in hottest(network, batch):
            self._report.add(KernelRow(subject.head, name, share))

    def _served(self, subject: Subject) -> None:
        """Measure the server's engines on a model file made here and on the files given."""
        half = self._options.dtype is torch.float16
        with engines.artefact(subject.recipe, subject.size, half) as file:
            made = [(name, file) for name in engines.names()]
            for name, model in (*self._options.artefacts, *made):
                with self._reported(f"engine {name} on {model.name}"):
                    self._by_engine(subject, name, model)

    def _by_engine(self, subject: Subject, name: str, model: Path) -> None:
        o = self._options
        rows = engines.timings(name, model, o.device, o.batches, o.seconds)
        with closing(rows):
            for batch, provider, found in rows:
                self._add(subject, batch, f"{name} ({provider})", "raw, from the host", found)
                if o.over:
                    return

    @cached_property
    def _engine(self) -> str:
        return "CUDA graph" if self._options.device.type == "cuda" else "eager"

    def _measure(self, step: Callable[[], None], batch: int) -> Timing:
        return measure(step, self._options.device, batch, self._options.seconds)

    def _network(self, subject: Subject, slots: int, compiled: bool = False) -> Network:
        o = self._options
        return Network(
            subject.recipe,
            subject.size,
            o.device,
            o.dtype,
            slots=slots,
            batches=o.batches,
            compiled=compiled,
        )

    def _add(self, s: Subject, batch: int, engine: str, decode: str, found: Timing) -> None:
        reached = self._least(s, batch) * found.fps / batch
        times = (found.fps, found.p50, found.p99, found.device)
        self._report.add(Row(s.head, s.memory, s.size, batch, engine, decode, *times, reached))

    def _least(self, subject: Subject, batch: int) -> float:
        """Return the least seconds that the machine needs for a step of this batch."""
        assert self._report.machine, "the machine is measured first"
        if subject not in self._work:
            self._work[subject] = work(subject.recipe, subject.size, self._options.dtype)
        return self._work[subject].floor(self._report.machine, batch)

    @contextmanager
    def _reported(self, what: str) -> Iterator[None]:
        """Report any error instead of raising it, and free the device's memory."""
        try:
            yield
        except Exception as error:  # a missing library or a full device must not end the run
            self._report.miss(what, f"{type(error).__name__}: {error}".splitlines()[0])
        gc.collect()
        if self._options.device.type == "cuda":
            torch.cuda.empty_cache()
