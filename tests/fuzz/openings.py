"""Many damaged containers: python -m tests.fuzz.openings --opened 100000 --seed 1 --keep FOLDER.

A process of its own opens one after the other, since a fault in a decoder ends it. The inputs that
end or stop it are kept; then a new process continues with the next one.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import selectors
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.damaging import Containers
from tests.fuzz.opening import Outcome, opened

CORPUS = Path(__file__).parent / "corpus" / "container"
MEMORY = 2**31
SLOW_SECONDS = 5.0
"""CPU time of one small input; more is an attack."""

HANG_SECONDS = 120.0
CASES_OF_ONE_PROCESS = 20_000


@dataclass(frozen=True)
class Wanted:
    """Which cases are tried: those of ``seed``, until so many containers were ``opened``, so many
    ``cases`` tried, or it is ``until`` (time.monotonic()). A process that prints nothing for
    ``hang`` seconds is killed; ``module`` runs in it."""

    seed: int
    opened: int
    cases: int = 10_000_000
    until: float = math.inf
    hang: float = HANG_SECONDS
    module: str = "tests.fuzz.openings"


@dataclass
class Openings:
    """The results of the cases, by container; ``kept`` describes each input that ended the process
    or gave a forbidden result."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    kept: dict[int, str] = field(default_factory=dict)
    slowest: float = 0.0

    def number(self, outcome: Outcome) -> int:
        return sum(count for (_, one), count in self.outcomes.items() if one == outcome)

    @property
    def opened(self) -> int:
        """How many containers were opened, with or without pictures."""
        return self.number(Outcome.OPENED) + self.number(Outcome.DECODED)


def known() -> Containers:
    return Containers({path.name: path.read_bytes() for path in CORPUS.iterdir()})


def run(wanted: Wanted) -> Openings:
    """Try cases in one process after the other; return the results."""
    report, number = Openings(), 0
    while not _enough(wanted, number, report):
        end = min(wanted.cases, number + CASES_OF_ONE_PROCESS)
        number = _run_process(wanted, number, end, report)
    return report


def _enough(wanted: Wanted, number: int, report: Openings) -> bool:
    late = time.monotonic() > wanted.until
    return late or number >= wanted.cases or report.opened >= wanted.opened


def _run_process(wanted: Wanted, number: int, end: int, report: Openings) -> int:
    """Have one process try cases from ``number`` on; return the number of the next one."""
    child = ("--child", str(wanted.seed), str(number), str(end))
    command = [sys.executable, "-m", wanted.module, *child]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        for line in _lines(process.stdout.fileno(), wanted.hang):
            _note(number, line.split("\t"), report)
            number += 1
            if _enough(wanted, number, report):
                break
        ended = number == end or _enough(wanted, number, report)
        if not ended:
            report.kept[number] = _how_it_ended(process)
        process.kill()
    return number if ended else number + 1


def _how_it_ended(process: subprocess.Popen[bytes]) -> str:
    try:
        return f"ends the process with {process.wait(1.0)}"
    except subprocess.TimeoutExpired:
        return "hangs"


def _lines(descriptor: int, hang: float) -> Iterator[str]:
    """Yield lines until there are no more, or none for this many seconds."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while selector.select(hang) and (came := os.read(descriptor, 2**16)):
            *lines, rest = (rest + came).split(b"\n")
            yield from (line.decode() for line in lines)


def _note(number: int, words: list[str], report: Openings) -> None:
    name, outcome, seconds = words
    report.slowest = max(report.slowest, float(seconds))
    report.outcomes[name, outcome] += 1
    if outcome not in list(Outcome):
        report.kept[number] = outcome
    elif float(seconds) > SLOW_SECONDS:
        report.kept[number] = f"takes {float(seconds):.1f} s"


def try_cases(seed: int, begin: int, end: int) -> None:
    """Try cases in this process, and report each on the standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    containers = known()
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / "upload"
        for number in range(begin, end):
            name, data = containers.case(seed, number)
            path.write_bytes(data)
            began = time.process_time()
            outcome = _outcome(path)
            print(name, outcome, f"{time.process_time() - began:.4f}", sep="\t", flush=True)


def _outcome(path: Path) -> str:
    try:
        return opened(path)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300].replace("\n", " ").replace("\t", " ")


def keep(report: Openings, seed: int, folder: Path) -> None:
    """Write the inputs that were kept into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in report.kept:
        name, data = known().case(seed, number)
        (folder / f"{seed}-{number}-{name}").write_bytes(data)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz.openings", description=__doc__)
    parser.add_argument("--opened", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("kept"))
    parser.add_argument("--child", type=int, nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        try_cases(*given.child)
        return 0
    until = time.monotonic() + given.seconds
    report = run(Wanted(given.seed, given.opened, until=until))
    keep(report, given.seed, given.keep)
    _print(report)
    return 1 if report.kept else 0


def _print(report: Openings) -> None:
    for name in sorted({name for name, _ in report.outcomes}):
        counts = "  ".join(f"{report.outcomes[name, one]:7} {one}" for one in Outcome)
        print(f"{name:20} {counts}")
    total = "  ".join(f"{report.number(one):7} {one}" for one in Outcome)
    print(f"{'all':20} {total}; slowest {report.slowest:.2f} s")
    for number, what in report.kept.items():
        print(f"KEPT {number}: {what}")


if __name__ == "__main__":
    raise SystemExit(main())
