"""Record measurements row by row, so that an interrupted run keeps those it has made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tabulate import tabulate

from benchmarks.gpu.machine import Machine
from benchmarks.gpu.streams import LIMIT_MS

GOAL_FPS, GOAL_STREAMS, GOAL_SHARE = 500.0, 16, 0.03
GOAL_SIZE = (720, 960)
PAPER = "paper: 38.6 frames/s on a V100, PCMA 8-16 %"


@dataclass(frozen=True)
class Row:
    """One batch size of one network on one engine. Times are as in Timing; ``floor`` is the least
    possible time divided by the measured time (1 is the optimum)."""

    head: str
    memory: bool
    size: tuple[int, int]
    batch: int
    engine: str
    decode: str
    fps: float
    p50: float
    p99: float
    device: float | None = None
    floor: float | None = None


@dataclass(frozen=True)
class StreamRow:
    """The latencies of a number of live streams."""

    head: str
    size: tuple[int, int]
    decode: str
    streams: int
    p50: float
    p99: float
    mean_batch: float
    holds: bool


@dataclass(frozen=True)
class KernelRow:
    """A kernel's share of a step's time on the device."""

    head: str
    name: str
    share: float


@dataclass
class Report:
    """The results so far; after each row they are written to ``path``, as JSON."""

    path: Path | None
    machine: Machine | None = None
    rows: list[Row] = field(default_factory=list)
    streams: list[StreamRow] = field(default_factory=list)
    kernels: list[KernelRow] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    complete: bool = False

    def add(self, row: Row | StreamRow | KernelRow) -> None:
        match row:
            case Row():
                self.rows.append(row)
            case StreamRow():
                self.streams.append(row)
            case KernelRow():
                self.kernels.append(row)
        print(_line(row), flush=True)
        self.save()

    def miss(self, what: str, why: object) -> None:
        """Record a measurement that is not possible here, and why."""
        self.absent.append(f"{what}: {why}")
        print(f"  not measured: {self.absent[-1]}", flush=True)
        self.save()

    def save(self) -> None:
        if self.path is None:
            return
        written = asdict(self) | {"path": None, "goals": self.goals()}
        partial = self.path.with_suffix(".part")
        partial.write_text(json.dumps(written, indent=1))
        partial.replace(self.path)

    def cost_of_memory(self, row: Row) -> float | None:
        """Return memory's share of a frame's time: 1 - frames/s with memory / frames/s without."""
        plain = next((r for r in self.rows if _twins(r, row)), None)
        return 1 - row.fps / plain.fps if plain and row.memory else None

    def goals(self) -> dict[str, float | None]:
        """Return the best results of DeepLabV3+ with memory at 960x720; None if not measured."""
        ours = [r for r in self.rows if _is_goal(r.head, r.size) and r.memory]
        bare = [r for r in ours if r.decode == "excluded"]
        shares = [cost for r in bare if (cost := self.cost_of_memory(r)) is not None]
        held = [s.streams for s in self.streams if _is_goal(s.head, s.size) and s.holds]
        return {
            "frames_per_second": max((r.fps for r in bare), default=None),
            "streams": max(held, default=None),
            "cost_of_memory": min(shares, default=None),
        }

    def table(self) -> str:
        """Return everything as text, without rows that were not measured."""
        blocks = [self._machine(), self._batches(), self._streams(), self._kernels(), self._ends()]
        return "\n\n".join(block for block in blocks if block)

    def _machine(self) -> str:
        if self.machine is None:
            return ""
        m = self.machine
        return (
            f"{m.name}, torch {m.torch}: {m.flops / 1e12:.1f} TFLOP/s in {m.dtype} products, "
            f"{m.bandwidth / 1e9:.0f} GB/s copied"
        )

    def _batches(self) -> str:
        heads = ["head", "memory", "size", "engine", "decode", "batch", "frames/s"]
        heads += ["p50 ms", "p99 ms", "device ms", "of the limit", "PCMA"]
        return _grid(heads, [self._cells(row) for row in self.rows])

    def _cells(self, r: Row) -> list[str]:
        cells = [r.head, "yes" if r.memory else "no", _size(r.size), r.engine, r.decode]
        cells += [str(r.batch), f"{r.fps:.1f}", f"{r.p50:.2f}", f"{r.p99:.2f}"]
        cells += [_number(r.device, "{:.2f}"), _number(r.floor, "{:.1%}")]
        return [*cells, _number(self.cost_of_memory(r), "{:.1%}")]

    def _streams(self) -> str:
        heads = ["head", "size", "decode", "streams", "p50 ms", "p99 ms", "mean batch", "holds"]
        cells = [
            [s.head, _size(s.size), s.decode, str(s.streams), f"{s.p50:.1f}", f"{s.p99:.1f}",
             f"{s.mean_batch:.1f}", f"under {LIMIT_MS:g} ms" if s.holds else "no"]
            for s in self.streams
        ]  # fmt: skip
        return _grid(heads, cells)

    def _kernels(self) -> str:
        cells = [[k.head, f"{k.share:.1%}", k.name] for k in self.kernels]
        return _grid(["head", "of device time", "kernel"], cells)

    def _ends(self) -> str:
        found = self.goals()
        lines = [
            f"DeepLabV3+ MA, {_size(GOAL_SIZE)}: "
            f"{_number(found['frames_per_second'], '{:.1f}')} frames/s (goal {GOAL_FPS:.0f}), "
            f"{_number(found['streams'], '{:.0f}')} live streams (goal {GOAL_STREAMS}), "
            f"PCMA {_number(found['cost_of_memory'], '{:.1%}')} (goal {GOAL_SHARE:.0%}); {PAPER}"
        ]
        lines += [f"not measured: {line}" for line in self.absent]
        lines += [] if self.complete else ["time ran out before all scenes were measured"]
        return "\n".join(lines)


def _line(row: Row | StreamRow | KernelRow) -> str:
    match row:
        case Row():
            what = f"{row.head}{' MA' if row.memory else ''} {_size(row.size)} {row.engine}"
            return f"  {what}, {row.decode}, batch {row.batch}: {row.fps:.1f} frames/s"
        case StreamRow():
            return f"  {row.streams} streams, {row.decode}: p99 {row.p99:.1f} ms"
        case KernelRow():
            return f"  {row.share:6.1%}  {row.name}"


def _grid(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Return aligned columns; empty if there are no rows."""
    return tabulate(cells, heads, tablefmt="plain", disable_numparse=True) if cells else ""


def _twins(plain: Row, row: Row) -> bool:
    """Return whether the rows differ only in memory."""
    same = ("head", "size", "batch", "engine", "decode")
    return not plain.memory and all(getattr(plain, f) == getattr(row, f) for f in same)


def _is_goal(head: str, size: tuple[int, int]) -> bool:
    return head == "deeplabv3plus" and tuple(size) == GOAL_SIZE


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
