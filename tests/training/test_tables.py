"""The paper's tables: counted from the modules, filled from results of runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.build import HEADS
from training import tables
from training.data.datasets import DataError
from training.experiments import costs
from training.experiments.runs import Average, read_runs, trials
from training.experiments.sheet import Sheet, in_markdown
from training.settings import TrainSettings

# Table 4 by its closed form, to two places: T, then r = 0.125, 0.25, 0.5.
TABLE_4 = {
    1: (4.12, 11.07, 33.46),
    2: (6.82, 16.48, 44.28),
    3: (9.53, 21.88, 55.09),
}


@pytest.mark.parametrize("frames", costs.FRAMES)
def test_the_modules_cost_what_table_4_says(frames: int) -> None:
    for ratio, printed in zip(costs.RATIOS, TABLE_4[frames], strict=True):
        cost = costs.memory_cost(frames, ratio)
        assert cost.counted == pytest.approx(printed, abs=0.02)
        assert cost.counted == pytest.approx(cost.printed, abs=0.001)


def test_what_memory_truly_costs() -> None:
    cost = costs.memory_cost(frames=1, ratio=0.25)
    assert (cost.full, cost.strided) == pytest.approx((8.24, 6.11), abs=0.01)
    # Keys as wide as values: two products of width s instead of s/2 and s.
    attention = costs.ATTENTION_G * 0.25
    assert cost.ours - cost.strided == pytest.approx(attention / 3, abs=0.01)


def test_the_trunk_costs_what_the_paper_says() -> None:
    cost, maps = costs.trunk_maps()
    assert cost == pytest.approx(157.69, abs=0.01)
    assert [tuple(m.shape[1:]) for m in maps][::3] == [(256, 160, 160), (2048, 80, 80)]
    assert costs.trunk_parameters() == 23_527_264


def test_every_head_is_counted() -> None:
    found = {cost.head: cost for cost in costs.head_costs()}
    assert list(found) == list(HEADS)
    assert found["deeplabv3plus"].parameters == pytest.approx(3.19e6, abs=5e3)
    assert found["deeplabv3plus"].cost == pytest.approx(20.1, abs=0.05)


def result(**changes: Any) -> dict[str, Any]:
    """A run's file, as training leaves it."""
    run = {
        "model": "deeplabv3plus-ma-resnet50",
        "dataset": "camvid",
        "series": "frozen",
        "name": "default",
        "setting": "frozen trunk",
        "start": "part1.pt",
        "seed": 0,
        "iterations": 400,
        "options": {},
        "results": scored(60.0, 59.0),
    }
    return run | changes


def scored(test: float, off: float, vc8: float | None = None) -> dict[str, Any]:
    return {"test": {"with": {"miou": test, "vc8": vc8}, "off": {"miou": off}}}


def plain(**changes: Any) -> dict[str, Any]:
    held = {"test": {"off": {"miou": 58.0}}, "val": {"off": {"miou": 62.5, "vc8": 88.0}}}
    return result(model="deeplabv3plus-resnet50", name="baseline", results=held) | changes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A series of three seeds, a baseline, other T, and a trial with the judge."""
    files = [
        result(),
        result(seed=1, results=scored(62.0, 59.0)),
        result(seed=2, results=scored(64.0, 59.0)),
        plain(),
        result(options={"frames": 1}, name="T=1", results=scored(55.0, 54.0)),
        result(options={"frames": 4}, name="T=4", results=scored(56.0, 54.0)),
        result(options={"judge": True}, name="judge", results=scored(50.0, 50.0)),
    ]
    for index, run in enumerate(files):
        (tmp_path / f"{index}.json").write_text(json.dumps(run))
    return tmp_path


def cells(sheet: Sheet, *wanted: str) -> list[dict[str, str]]:
    """The rows that begin so, by column."""
    rows = [row for row in sheet.rows if row[: len(wanted)] == wanted]
    return [dict(zip(sheet.columns, row, strict=True)) for row in rows]


def test_runs_trained_otherwise_are_not_seeds_of_one_trial(folder: Path) -> None:
    run = read_runs(folder)[0]
    for settings, apart in (({"still": 0.25}, 2), ({}, 1)):
        told = run.settings | {"seed": 99} | settings
        other = run.model_copy(update={"seed": 99, "settings": told})
        assert len(trials([run, other])) == apart


def test_a_run_of_before_some_settings_is_told_in_full(folder: Path) -> None:
    path = sorted(folder.glob("*.json"))[0]
    settings = TrainSettings().to_dict()
    del settings["drop_path"], settings["dropout"]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"settings": settings}))
    assert read_runs(folder)[0].settings == TrainSettings(dropout=0.0).to_dict()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"settings": {"gears": 3}}))
    with pytest.raises(DataError, match="not the result of a run"):
        read_runs(folder)


def test_seeds_are_averaged(folder: Path) -> None:
    found = trials(read_runs(folder))
    assert [len(trial.runs) for trial in found] == [3, 1, 1, 1, 1]
    assert found[0].average("test", "with") == Average(62.0, 2.0, 3)
    assert found[0].average("val", "with") is None
    assert str(found[0].average("test", "with")) == "62.00 ± 2.00"
    assert str(found[2].average("test", "with")) == "55.00"


def test_table_1_has_the_papers_figures_beside_ours(folder: Path) -> None:
    sheet = tables.table_1(trials(read_runs(folder)))
    (ours,) = cells(sheet, "camvid", "deeplabv3plus", "MA-ResNet50")
    assert (ours["paper"], ours["test"], ours["series"]) == (
        "75.02",
        "62.00 ± 2.00",
        "frozen",
    )
    (base,) = cells(sheet, "camvid", "deeplabv3plus", "ResNet50")
    assert (base["paper"], base["test"], base["VC8"]) == ("73.77", "58.00", "88.00")
    assert base["test off"] == "-"
    (empty,) = cells(sheet, "vspw-person", "dnlnet", "ResNet50")
    assert (empty["paper"], empty["test"]) == ("78.94", "-")
    assert "frozen: frozen trunk; from part1.pt, 400 iterations" in sheet.notes


def test_table_2_is_over_t_of_the_series_that_varied_it(folder: Path) -> None:
    (folder / "other.json").write_text(json.dumps(result(series="other")))
    sheet = tables.table_2(trials(read_runs(folder)))
    assert [(row[0], row[2]) for row in sheet.rows] == [
        ("0", "58.00"),
        ("1", "55.00"),
        ("2", "62.00 ± 2.00"),
        ("3", "-"),
        ("4", "56.00"),
    ]
    assert {row[1] for row in sheet.rows} == {"-"}, "no figure of the paper is invented"


def test_table_3_stays_empty_where_r_was_not_varied(folder: Path) -> None:
    sheet = tables.table_3(trials(read_runs(folder)))
    assert [row[:3] for row in sheet.rows] == [(r, "-", "-") for r in ("0.125", "0.25", "0.5")]
    assert any("no run of ours" in note.lower() for note in sheet.notes)


def test_a_run_trained_otherwise_stands_among_all_runs_alone(folder: Path) -> None:
    otherwise = result(name="memory rate 1", settings={"memory_rate": 1.0, "seed": 0})
    (folder / "rate.json").write_text(json.dumps(otherwise))
    first, second, _, all_of_ours, *_ = tables.sheets(folder)
    assert len(cells(first, "camvid", "deeplabv3plus", "MA-ResNet50")) == 1
    assert [row[0] for row in second.rows] == ["0", "1", "2", "3", "4"]
    assert cells(all_of_ours, "frozen", "deeplabv3plus", "memory rate 1")


def test_no_column_is_cut_on_a_narrow_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert tables.main(["--results", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "MA-ResNet50" in shown and "62.00 ± 2.00" in shown and "…" not in shown


def test_other_trials_are_told_too(folder: Path) -> None:
    (row,) = cells(tables.all_runs(trials(read_runs(folder))), "frozen", "deeplabv3plus", "judge")
    assert row["test"] == "50.00"


def test_an_absent_folder_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tables.main(["--results", str(tmp_path / "none"), "--markdown"]) == 0
    told = capsys.readouterr()
    assert "no results yet" in told.err
    assert told.out.count("\n### ") == 4 and told.out.startswith("### Table 1")
    assert "| 2 | 0.25 | 16.48 | 16.48 | 13.64 | 11.52 | 15.13 | 9.6 % |" in told.out


def test_the_screen_shows_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tables.main(["--results", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "Table 4" in told and "157.69 G" in told and "judge" in told


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": "first"},
        {"seeds": 3},
        {"options": {"frame": 2}},
        {"options": {"frames": 0}},
        {"results": {"test": {"on": {"miou": 60}}}},
        {"results": {"test": {"with": {"miou": 601}}}},
    ],
)
def test_a_file_that_is_no_run_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: dict[str, Any]
) -> None:
    (tmp_path / "wrong.json").write_text(json.dumps(result() | wrong))
    assert tables.main(["--results", str(tmp_path)]) == 1
    assert "wrong.json" in capsys.readouterr().err


def test_a_result_is_not_counted_twice(folder: Path) -> None:
    (folder / "again.json").write_text(json.dumps(result()))
    with pytest.raises(DataError, match="the same seed"):
        trials(read_runs(folder))


def test_markdown_escapes_what_would_end_a_cell() -> None:
    sheet = Sheet("T", ("a", "b"), (("1|2", "x"),), ("Said so.",))
    assert in_markdown(sheet) == (
        "### T\n\n| a | b |\n| --- | --- |\n| 1\\|2 | x |\n\n- Said so.\n"
    )
