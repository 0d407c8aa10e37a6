"""``make bench``: run every benchmark and print one table at the end."""

from __future__ import annotations

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


def main() -> None:
    one, four = (served_ratio.measure(streams=n) for n in (1, 4))
    added = socket_overhead.measure()
    echo = echo_ratio.measure()
    cost = memory_cost.measure()
    integers = int8.measure()
    lane, lanes = (job_ratio.measure(lanes=n) for n in (1, 4))
    first = live_first.measure()
    rows = [
        ("served over bare session.run, 1 stream", f"{one['ratio']:.3f}", "at least 0.95"),
        ("served over bare session.run, 4 streams", f"{four['ratio']:.3f}", "at least 0.95"),
        ("added by the server, p99, 16 streams at 30/s", f"{added['added_p99']:.1f} ms", "5 ms"),
        ("fake engine over a bare echo of the same bytes", f"{echo['ratio']:.2f}", "at least 0.5"),
        ("MA-ResNet50 over plain ResNet-50, frames/s", f"{cost['ratio']:.3f}", "at least 0.93"),
        ("int8 over float32, frames/s", f"{integers['ratio']:.2f}", "at least 1.4"),
        ("a video's job over bare session.run, 1 lane", f"{lane['ratio']:.3f}", "at least 0.95"),
        ("a video's job over bare session.run, 4 lanes", f"{lanes['ratio']:.3f}", "at least 0.95"),
        ("added to 4 live streams by a job, p99", f"{first['steps']:.2f} steps", "at most 1.5"),
        *live.rows(),
    ]
    table = Table("what", "measured", "goal")
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.print(
        f"shipped model: {one['bare']:.2f} frames/s bare, {one['served']:.2f} served; "
        f"plain ResNet-50 {cost['plain']:.0f} ms per step, with memory {cost['memory']:.0f} ms"
    )
    console.print(table)


if __name__ == "__main__":
    main()
