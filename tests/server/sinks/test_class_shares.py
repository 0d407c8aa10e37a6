"""classes.csv: one row per frame, one column per class."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from pictures_segmented import INFO, SPEC, labels, segmented

from server.sinks.class_shares import ClassShares
from server.sinks.style import DEFAULT, Style


def write(path: Path, *pieces: range, style: Style = DEFAULT) -> list[dict[str, str]]:
    """Write the table of these frames, in a part for each range, and read it."""
    parts = [path.with_name(f"{number}.part") for number in range(len(pieces))]
    for part, frames in zip(parts, pieces, strict=True):
        shares = ClassShares(part, SPEC, INFO, style)
        for index in frames:
            shares.add(segmented(index))
        shares.finish()
    ClassShares.join(parts, path, SPEC, INFO, style)
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_shares_of_every_frame(tmp_path: Path) -> None:
    rows = write(tmp_path / "classes.csv", range(3))
    assert list(rows[0]) == ["frame", "time", "class0", "class1", "class2"]
    for index, row in enumerate(rows):
        assert row["frame"] == str(index)
        assert float(row["time"]) == pytest.approx(index * 1001 / 30_000, abs=1e-6)
        for label in range(3):
            share = (labels(index) == label).mean()
            assert float(row[f"class{label}"]) == pytest.approx(share, abs=1e-6)


def test_chosen_classes_only(tmp_path: Path) -> None:
    rows = write(tmp_path / "classes.csv", range(2), style=Style(("class2", "class0")))
    assert [list(row) for row in rows] == [["frame", "time", "class0", "class2"]] * 2


def test_parts_join_to_the_table_of_one_pass(tmp_path: Path) -> None:
    write(tmp_path / "joined.csv", range(2), range(2, 5))
    write(tmp_path / "classes.csv", range(5))
    assert (tmp_path / "joined.csv").read_bytes() == (tmp_path / "classes.csv").read_bytes()
