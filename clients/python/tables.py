"""Measurements as tables for people."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table

from clients.python.load import LoadResult
from clients.python.measures import Outcome, Times

COLUMNS = ("p50", "p95", "p99", "max", "mean")


def times_table(times: Times) -> Table:
    """Return milliseconds by stage; "server" is the sum of the server's stages, "network" the
    rest: the way there and back, and waiting in sockets."""
    table = Table(title="milliseconds", title_justify="left")
    table.add_column("stage")
    for name in COLUMNS:
        table.add_column(name, justify="right")
    for stage, found in times.summary().items():
        table.add_row(stage.replace("_", " "), *(f"{found[name]:.2f}" for name in COLUMNS))
    return table


def outcome_table(outcome: Outcome, held: int = 0) -> Table:
    """Return the frames by outcome."""
    table = Table(title="frames", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    rows = {"sent": outcome.sent, "masks": outcome.masks}
    rows |= {f"dropped: {cause}": count for cause, count in sorted(outcome.dropped.items())}
    rows |= {"failed": outcome.failed, "held back here": held}
    rows |= {"unanswered": outcome.unanswered, "answered twice": outcome.doubled}
    for name, count in rows.items():
        if count or name in ("sent", "masks", "unanswered", "answered twice"):
            table.add_row(name, str(count))
    return table


def load_tables(result: LoadResult) -> RenderableType:
    """Return all results of a load."""
    fps = result.fps
    cut = " (interrupted)" if result.interrupted else ""
    rates = (
        f"{result.plan.streams} streams at {result.plan.rate:g} frames/s for "
        f"{result.elapsed:.1f} s{cut}: {sum(fps):.1f} masks/s in all, "
        f"slowest stream {min(fps):.2f}, fastest {max(fps):.2f}"
    )
    tables = Group(rates, times_table(result.times), outcome_table(result.outcome, result.held))
    return Group(tables, *(f"failed: {error}" for error in dict.fromkeys(result.errors)))
