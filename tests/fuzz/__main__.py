"""The long run: python -m tests.fuzz --cases 1000000 --seed 1."""

from __future__ import annotations

import argparse
from contextlib import ExitStack

from tests.fuzz.running import fuzz
from tests.fuzz.targets import targets


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with ExitStack() as stack:
        report = fuzz(targets(stack), given.cases, given.seed)
    for name, cases in sorted(report.cases.items()):
        accepted, slowest = report.accepted[name], report.slowest[name]
        print(f"{name:16} {cases:8} cases {accepted:8} accepted, slowest {slowest * 1000:7.1f} ms")
    for words, data in report.failed.items():
        print(f"FAILED {words}\n       {data[:300]!r}")
    return 1 if report.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
