"""What happens to 10,000 pulled streams on 1,000 servers when parts of the cluster fail.

python -m benchmarks.cluster_sim [--servers 1000] [--streams 10000] [--seed 1] [SCENARIO ...]
"""

from __future__ import annotations

from argparse import ArgumentParser

from tabulate import tabulate

from benchmarks.cluster_sim.scenarios import SCENARIOS, Outcome, measure

HEADINGS = (
    "scenario", "streams moved", "p50 s", "p99 s", "max s", "herd", "tries per take",
    "takes in 1 s", "writes in 1 s", "fullest server",
)  # fmt: skip


AROUND = (
    "scenario", "to a picture: p50 s", "p99 s", "max s", "connections to cameras in 1 s",
    "clients", "without a server: p50 s", "p99 s", "max s", "to all servers in 1 s",
    "to one server in 1 s",
)  # fmt: skip


def around(outcome: Outcome) -> tuple[str, ...]:
    """Return a line of the table of cameras and clients."""
    pictures = (f"{one:.2f}" for one in outcome.pictures)
    returns = (f"{one:.2f}" for one in outcome.returns)
    clients = f"{outcome.returned:,}"
    rushes = (f"{one:,}" for one in (outcome.client_rush, outcome.crowd))
    return (outcome.name, *pictures, f"{outcome.camera_rush:,}", clients, *returns, *rushes)


def row(outcome: Outcome) -> tuple[str, ...]:
    """Return a line of the table."""
    tally = outcome.tally
    seconds = (f"{one:.2f}" for one in tally.takeovers)
    moved = len(tally.gaps)
    tries = f"{tally.attempts / max(1, moved):.2f}"
    counts = (tally.busiest_takes, tally.busiest_writes, outcome.fullest)
    return (
        outcome.name,
        f"{moved:,}",
        *seconds,
        str(tally.herd),
        tries,
        *(f"{c:,}" for c in counts),
    )


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.cluster_sim", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--servers", type=int, default=1000)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    if unknown := set(flags.scenarios) - SCENARIOS.keys():
        parser.error(f"There is no scenario {unknown.pop()}: choose from {', '.join(SCENARIOS)}.")
    names = flags.scenarios or list(SCENARIOS)
    found = [measure(name, flags.servers, flags.streams, flags.seed) for name in names]
    print(tabulate([row(one) for one in found], HEADINGS, disable_numparse=True))
    print("\n" + tabulate([around(one) for one in found], AROUND, disable_numparse=True))
    steady = found[0].steady
    print(
        f"\nWithout any failure: {steady.writes:,} writing statements/s, "
        f"{steady.rows_written:,} rows written/s, {steady.rows_read:,} rows read/s."
    )


if __name__ == "__main__":
    main()
