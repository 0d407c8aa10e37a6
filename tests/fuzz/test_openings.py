"""Damaged containers are opened in a process that may die; the long run is tests.fuzz.openings."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.fuzz.opening import Outcome, opened
from tests.fuzz.openings import CORPUS, Wanted, keep, known, run

SECONDS = 15.0
CASES = 600

CHILD = """
import os, sys, time
_, _, seed, begin, end = sys.argv
for number in range(int(begin), int(end)):
    if number == 2:
        os.abort()
    if number == 4:
        time.sleep(60)
    outcome = "KeyError: 'bug'" if number == 5 else "opened"
    print("tiny.mp4", outcome, 9.5 if number == 6 else 0.1, sep="\\t", flush=True)
"""


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_every_known_container_has_a_picture(path: Path) -> None:
    assert opened(path) is Outcome.DECODED


def test_damaged_containers_give_errors_with_a_sentence_or_what_can_be_right() -> None:
    wanted = Wanted(seed=1, opened=CASES, cases=CASES, until=time.monotonic() + SECONDS)
    report = run(wanted)
    assert not report.kept
    assert report.opened > report.number(Outcome.REFUSED) > 0
    assert report.number(Outcome.DECODED) > report.number(Outcome.OPENED)


def test_a_process_that_dies_or_hangs_costs_one_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dying.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    report = run(Wanted(seed=1, opened=100, cases=9, hang=3.0, module="dying"))
    assert report.kept == {
        2: "ends the process with -6",
        4: "hangs",
        5: "KeyError: 'bug'",
        6: "takes 9.5 s",
    }
    assert report.opened == 6 and report.slowest == 9.5
    keep(report, 1, tmp_path / "kept")
    kept = {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()}
    cases = {number: known().case(1, number) for number in (2, 4, 5, 6)}
    assert kept == {f"1-{number}-{name}": data for number, (name, data) in cases.items()}


def test_enough_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "endless.py").write_text(CHILD.replace("number ==", "-1 =="))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert run(Wanted(seed=1, opened=10, module="endless")).opened == 10
    assert run(Wanted(seed=1, opened=10, until=0.0, module="endless")).opened == 0
