"""``make bench``: run every benchmark; print each result when there is one, then a table."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from benchmarks import (
    echo_ratio,
    int8,
    job_ratio,
    live,
    live_first,
    memory_cost,
    served_ratio,
    socket_overhead,
)

Row = tuple[str, str, str]
"""What was measured, the result, the goal."""


def main() -> None:
    console = Console()
    table = Table("what", "measured", "goal")
    for row in _rows():
        console.print(": ".join(row[:2]))
        table.add_row(*row)
    console.print(table)


def _rows() -> Iterator[Row]:
    for streams in (1, 4):
        served = served_ratio.measure(streams=streams)
        what = f"served over bare session.run, {streams} streams, frames/s"
        yield what, f"{served['served']:.2f} / {served['bare']:.2f}", ""
        yield "the same as a ratio", f"{served['ratio']:.3f}", "at least 0.95"
    added = socket_overhead.measure()
    yield "added by the server, p99, 16 streams at 30/s", f"{added['added_p99']:.1f} ms", "5 ms"
    echo = echo_ratio.measure()
    yield "fake engine over a bare echo of the same bytes", f"{echo['ratio']:.2f}", "at least 0.5"
    cost = memory_cost.measure()
    yield "ms per step of plain ResNet-50, MA", f"{cost['plain']:.0f}, {cost['memory']:.0f}", ""
    yield "MA-ResNet50 over plain ResNet-50, frames/s", f"{cost['ratio']:.3f}", "at least 0.93"
    integers = int8.measure()
    yield "int8 over float32, frames/s", f"{integers['ratio']:.2f}", "at least 1.4"
    for lanes in (1, 4):
        job = job_ratio.measure(lanes=lanes)
        what = f"a video's job over bare session.run, {lanes} lanes"
        yield what, f"{job['ratio']:.3f}", "at least 0.95"
    first = live_first.measure()
    yield "added to 4 live streams by a job, p99", f"{first['steps']:.2f} steps", "at most 1.5"
    yield from live.rows()


if __name__ == "__main__":
    main()
