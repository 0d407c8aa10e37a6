"""The output of ``mastream top``: one server at one moment, as text and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clients.python.camera import Camera
from clients.python.camera_table import cameras_table, duration
from clients.python.exposition import Exposition, quantile, rate

STAGES = ("wait", "decode", "queue", "step", "encode", "send", "total")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A server's answers: /v1/server, /v1/capacity, /v1/streams and /metrics, twice."""

    server: Mapping[str, Any]
    capacity: Mapping[str, Any]
    cameras: Sequence[Camera]
    before: Exposition
    now: Exposition


def view(snapshot: Snapshot) -> RenderableType:
    """Return the view of a server."""
    parts: list[RenderableType] = [*map(Text, lines(snapshot)), stages_table(snapshot)]
    if snapshot.cameras:
        parts.append(cameras_table(snapshot.cameras))
    return Group(*parts)


def lines(snapshot: Snapshot) -> Iterator[str]:
    """Yield the state, the use, the rates, the capacity and the jobs, a line each."""
    server = snapshot.server
    state = "ready" if server["ready"] else f"not ready: {'; '.join(server['reasons'])}"
    yield f"mastream {server['version']}   {state}   up {duration(server['uptime'])}"
    yield f"engine     {_engines(snapshot.now)}"
    yield f"in use     {_use(server, snapshot)}"
    yield f"frames/s   {_rates(snapshot)}"
    yield f"capacity   {_capacity(snapshot.capacity)}"
    yield f"videos     {_states(snapshot.now, 'mastream_jobs')}"


def stages_table(snapshot: Snapshot) -> Table:
    """Return the milliseconds that frames spent in each stage since the last view."""
    table = Table("stage", title="milliseconds of a frame", title_justify="left")
    for name in ("p50", "p99"):
        table.add_column(name, justify="right")
    for stage in STAGES:
        table.add_row(stage, *(_ms(snapshot, stage, share) for share in (0.5, 0.99)))
    return table


def megabytes(count: float) -> str:
    return f"{count / 2**20:.1f} MiB"


def _engines(now: Exposition) -> str:
    found = now.labels("mastream_engine_info")
    named = [f"{one['model']} by {one['provider']} on {one['device']}" for one in found]
    restarts = now.total("mastream_engine_restarts_total")
    return f"{', '.join(named) or 'none'}   restarts {restarts:.0f}"


def _use(server: Mapping[str, Any], snapshot: Snapshot) -> str:
    counts = [
        f"{name} {server[name]['used']}/{server[name]['most']}"
        for name in ("sessions", "streams", "videos")
    ]
    viewers = snapshot.capacity["limits"]["viewers"]
    memories = megabytes(snapshot.now.total("mastream_session_memory_bytes"))
    held = megabytes(server["held_bytes"]["used"])
    parts = [*counts, f"viewers {viewers['used']}/{viewers['total']}"]
    return "   ".join([*parts, f"memories {memories}", f"in transit {held}"])


def _rates(snapshot: Snapshot) -> str:
    def per_second(result: str) -> float:
        return rate(snapshot.before, snapshot.now, "mastream_frames_total", result=result)

    results = ("segmented", "dropped", "failed")
    shown = [f"{result} {per_second(result):.1f}" for result in results]
    refused = rate(snapshot.before, snapshot.now, "mastream_rejected_total")
    return "   ".join([*shown, f"requests refused/s {refused:.1f}"])


def _capacity(capacity: Mapping[str, Any]) -> str:
    if not capacity["frames_per_second"]:
        return "not measured yet: no frame was segmented so far"
    gain = max(one["batch_gain"] for one in capacity["engines"])
    return (
        f"{capacity['frames_per_second']:.1f} frames/s   used {capacity['used']:.1f}   "
        f"left {capacity['left']:.1f}   batches gain {gain:.2f}"
    )


def _states(now: Exposition, name: str) -> str:
    counts = {one["state"]: now.total(name, **one) for one in now.labels(name)}
    return "   ".join(f"{state} {count:.0f}" for state, count in counts.items()) or "none"


def _ms(snapshot: Snapshot, stage: str, share: float) -> str:
    found = quantile(share, snapshot.before, snapshot.now, "mastream_stage_seconds", stage=stage)
    return "-" if found is None else f"{found * 1000:.1f}"
