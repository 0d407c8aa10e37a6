"""The soak: its counts, and a short one with a real server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.soak.report import report
from benchmarks.soak.tally import Answers, Tally
from benchmarks.soak.watch import Sample, minutes, sessions, slope

ROOT = Path(__file__).parents[2]


def test_growth_is_reported_in_mib_per_minute() -> None:
    assert slope([Sample(60.0 * i, 100 + 3 * i, 5, 9) for i in range(5)]) == pytest.approx(3)
    assert slope([Sample(0, 100, 5, 9)]) == 0.0


def test_a_minute_is_reported_by_its_median() -> None:
    samples = [Sample(at, rss, 5, 9) for at, rss in ((0, 1), (1, 2), (59, 90), (60, 7))]
    assert [(one.at, one.rss) for one in minutes(samples)] == [(0, 2), (60, 7)]


def test_the_sessions_of_all_states_count() -> None:
    page = 'mastream_sessions{state="idle"} 2.0\nmastream_sessions{state="stepping"} 1.0\nx 4.0\n'
    assert sessions(page) == 3


@pytest.mark.parametrize(
    ("sent", "answered", "complete", "expected"),
    [
        ([1, 2], [1, 2], True, (0, 0)),
        ([1, 2], [1], True, (1, 0)),
        ([1, 2], [1], False, (0, 0)),
        ([1, 2], [1, 1, 2], True, (0, 1)),
    ],
)
def test_what_is_missing_counts_where_the_client_stayed(
    sent: list[int], answered: list[int], complete: bool, expected: tuple[int, int]
) -> None:
    tally, answers = Tally(), Answers(sent)
    answers.answered.update(answered)
    answers.close(tally, complete)
    assert (tally.frames["unanswered"], tally.frames["twice"]) == expected
    assert tally.clean is (expected == (0, 0))


def test_the_table_names_every_trouble() -> None:
    tally = Tally()
    tally.trouble("whole", ValueError("lost"))
    told = report(tally, [Sample(0, 50, 5, 9), Sample(30, 51, 5, 9)], left=2, warm_up=20)
    assert "1 x whole: ValueError: lost" in told
    assert "sessions and cameras left   2" in told


def test_a_short_soak_is_clean() -> None:
    command = [sys.executable, "-m", "benchmarks.soak", "--seconds", "60", "--streams", "120"]
    kinds = ["whole", "resumes", "aborts", "closes", "nonsense", "deadly"]
    done = subprocess.run(
        [*command, "--clients", "4", "--uploads", "1", "--kinds", *kinds],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "masks of another stream     0" in done.stdout
    assert "camera watched" in done.stdout
