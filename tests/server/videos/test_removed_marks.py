"""Marks of removed videos."""

from __future__ import annotations

from pathlib import Path

from server.videos.removed_marks import RemovedMarks


def test_marks_outlive_the_process_until_they_are_forgotten(tmp_path: Path) -> None:
    marks = RemovedMarks(tmp_path / "removed")
    assert marks.all() == []
    marks.forget("none")
    marks.note("a")
    marks.note("b")
    marks.note("a")
    marks.forget("b")
    assert RemovedMarks(tmp_path / "removed").all() == ["a"]
