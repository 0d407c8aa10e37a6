"""Progress of a build: computed from nested phases, shown as a bar or as lines."""

from __future__ import annotations

import io

import pytest

from export.progress import Bar, Lines, Phases, reporter
from models.plan import BuildProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(text)


def test_steps_of_a_part_are_shares_of_a_step_of_the_whole() -> None:
    phases = Phases()
    assert phases.start("build", None, 4) == BuildProgress(0, "build")
    assert phases.step("build", 0) == BuildProgress(25, "build")
    assert phases.start("tactics", "build", 10) == BuildProgress(25, "tactics")
    assert phases.step("tactics", 4) == BuildProgress(37, "tactics")
    assert phases.step("tactics", 9) == BuildProgress(50, "tactics")
    assert phases.finish("tactics") == BuildProgress(50, "build")
    assert phases.step("build", 1) == BuildProgress(50, "build")


def test_it_never_goes_back_and_is_not_done_before_the_plan_is_there() -> None:
    phases = Phases()
    phases.start("parse", None, 1)
    assert phases.step("parse", 0).percent == 99
    phases.finish("parse")
    assert phases.start("build", None, 100) == BuildProgress(99, "build")
    assert phases.step("build", 0).percent == 99


def test_phases_that_nobody_started_do_no_harm() -> None:
    phases = Phases()
    assert phases.step("unknown", 3) == BuildProgress(0, "")
    assert phases.finish("unknown") == BuildProgress(0, "")
    assert phases.start("empty", "unknown", 0) == BuildProgress(0, "empty")


def test_lines_are_read_back_and_said_once_a_percent() -> None:
    stream = io.StringIO()
    shown = [BuildProgress(0, "a"), BuildProgress(0, "b"), BuildProgress(1, "c")]
    with reporter(stream) as lines:
        for progress in shown:
            lines.show(progress)
    read = [BuildProgress.parse(line) for line in stream.getvalue().splitlines()]
    assert read == [shown[0], shown[2]]


@pytest.mark.parametrize("stream", [Gone(), io.StringIO()])
def test_nobody_need_listen(stream: io.StringIO) -> None:
    lines = Lines(stream)
    if not isinstance(stream, Gone):
        stream.close()
    lines.show(BuildProgress(1, "a"))
    lines.show(BuildProgress(2, "b"))


def test_a_terminal_sees_a_bar() -> None:
    terminal = Terminal()
    with reporter(terminal) as bar:
        assert isinstance(bar, Bar)
        bar.show(BuildProgress(42, "Tactic selection"))
    assert "42 %" in terminal.getvalue() and "Tactic selection" in terminal.getvalue()
    assert "progress 42" not in terminal.getvalue()
