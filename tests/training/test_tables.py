"""The paper's tables: counted from the modules, filled from results of runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from training import tables
from training.data.datasets import DataError
from training.experiments import paper
from training.experiments.runs import Average, read_runs, trials
from training.experiments.sheet import Sheet, in_markdown
from training.settings import TrainSettings


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


def test_a_run_of_before_some_settings_is_reported_in_full(folder: Path) -> None:
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


def test_table_1_has_the_papers_figures_next_to_ours(folder: Path) -> None:
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


def printed(sheet: Sheet) -> list[tuple[str, ...]]:
    """The rows' cells up to the paper's, if it has one."""
    end = sheet.columns.index("paper") + 1
    return [row[:end] for row in sheet.rows if row[end - 1] != "-"]


def test_table_1_has_every_cell_of_the_papers() -> None:
    sheet = tables.table_1([])
    assert [row[:6] for row in sheet.rows] == [
        ("camvid", "deeplabv3plus", "ResNet50", "73.77", "-", "45.78"),
        ("camvid", "deeplabv3plus", "MA-ResNet50", "75.02", "+1.25", "38.60"),
        ("camvid", "pspnet", "ResNet50", "69.61", "-", "46.14"),
        ("camvid", "pspnet", "MA-ResNet50", "71.39", "+1.78", "42.60"),
        ("camvid", "sfnet", "ResNet50", "75.55", "-", "12.99"),
        ("camvid", "sfnet", "MA-ResNet50", "77.05", "+1.50", "11.55"),
        ("vspw-person", "deeplabv3plus", "ResNet50", "81.79", "-", "43.45"),
        ("vspw-person", "deeplabv3plus", "MA-ResNet50", "83.10", "+1.31", "37.27"),
        ("vspw-person", "pspnet", "ResNet50", "75.95", "-", "45.35"),
        ("vspw-person", "pspnet", "MA-ResNet50", "78.52", "+2.57", "42.08"),
        ("vspw-person", "dnlnet", "ResNet50", "78.94", "-", "11.79"),
        ("vspw-person", "dnlnet", "MA-ResNet50", "80.82", "+1.88", "10.88"),
    ]
    for line in paper.TABLE_1:
        assert line.remembering.miou - line.plain.miou == line.gain


def test_table_2_is_over_t_of_the_series_that_varied_it(folder: Path) -> None:
    (folder / "other.json").write_text(json.dumps(result(series="other")))
    sheet = tables.table_2(trials(read_runs(folder)))
    ours = cells(sheet, "camvid", "deeplabv3plus")
    assert [(row["T"], row["test"]) for row in ours] == [
        ("0", "58.00"),
        ("1", "55.00"),
        ("2", "62.00 ± 2.00"),
        ("3", "-"),
        ("4", "56.00"),
    ]
    assert {row["paper"] for row in ours} == {"-"}, "no figure of the paper is invented"
    assert printed(sheet) == [
        ("vspw-person", "deeplabv3plus", "1", "83.1"),
        ("vspw-person", "deeplabv3plus", "2", "83.09"),
        ("vspw-person", "deeplabv3plus", "3", "83.09"),
        ("vspw-person", "pspnet", "1", "78.47"),
        ("vspw-person", "pspnet", "2", "78.52"),
        ("vspw-person", "pspnet", "3", "78.48"),
        ("vspw-person", "dnlnet", "1", "80.81"),
        ("vspw-person", "dnlnet", "2", "80.82"),
        ("vspw-person", "dnlnet", "3", "80.81"),
    ]


def test_ours_of_the_papers_head_and_data_stand_in_its_rows(tmp_path: Path) -> None:
    model = "pspnet-ma-resnet50"
    for name, options in (("default", {}), ("r=1/2", {"ratio": 0.5}), ("r=1", {"ratio": 1.0})):
        run = result(model=model, name=name, options=options)
        (tmp_path / f"{len(name)}.json").write_text(json.dumps(run))
    sheet = tables.table_3(trials(read_runs(tmp_path)))
    rows = cells(sheet, "camvid", "pspnet")
    assert [(row["r"], row["paper"], row["run"]) for row in rows] == [
        ("0.125", "71.3", "-"),
        ("0.25", "71.39", "default"),
        ("0.5", "71.25", "r=1/2"),
        ("1", "-", "r=1"),
    ]


def test_table_3_has_the_papers_figures_alone_if_r_was_not_varied(folder: Path) -> None:
    sheet = tables.table_3(trials(read_runs(folder)))
    assert [row[:5] for row in sheet.rows] == [
        ("camvid", "pspnet", "0.125", "71.3", "-"),
        ("camvid", "pspnet", "0.25", "71.39", "-"),
        ("camvid", "pspnet", "0.5", "71.25", "-"),
        ("camvid", "sfnet", "0.125", "77", "-"),
        ("camvid", "sfnet", "0.25", "77.05", "-"),
        ("camvid", "sfnet", "0.5", "76.27", "-"),
    ]
    assert any("no run of ours" in note.lower() for note in sheet.notes)


def test_table_5_has_others_methods_and_every_series_of_ours(folder: Path) -> None:
    sheet = tables.table_5(trials(read_runs(folder)))
    assert printed(sheet) == [
        ("GRFP", "66.10"),
        ("Netwarp", "67.10"),
        ("TDNet", "76.00"),
        ("TMANet", "76.50"),
        ("the paper: MA-ResNet50, sfnet", "77.05"),
    ]
    (ours,) = cells(sheet, "ours: MA-ResNet50, deeplabv3plus")
    assert (ours["paper"], ours["test"], ours["series"]) == ("-", "62.00 ± 2.00", "frozen")


def test_a_run_trained_otherwise_stands_among_all_runs_alone(folder: Path) -> None:
    otherwise = result(name="memory rate 1", settings={"memory_rate": 1.0, "seed": 0})
    (folder / "rate.json").write_text(json.dumps(otherwise))
    first, second, _, _, _, all_of_ours, _ = tables.sheets(folder)
    assert len(cells(first, "camvid", "deeplabv3plus", "MA-ResNet50")) == 1
    ours = cells(second, "camvid", "deeplabv3plus")
    assert [row["T"] for row in ours] == ["0", "1", "2", "3", "4"]
    assert cells(all_of_ours, "frozen", "deeplabv3plus", "memory rate 1")


def test_no_column_is_cut_on_a_narrow_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert tables.main(["--results", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "MA-ResNet50" in shown and "62.00 ± 2.00" in shown and "…" not in shown


def test_other_trials_are_reported_too(folder: Path) -> None:
    (row,) = cells(tables.all_runs(trials(read_runs(folder))), "frozen", "deeplabv3plus", "judge")
    assert row["test"] == "50.00"


def test_an_absent_folder_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tables.main(["--results", str(tmp_path / "none"), "--markdown"]) == 0
    told = capsys.readouterr()
    assert "There are no results yet" in told.err
    assert told.out.count("\n### ") == 5 and told.out.startswith("### Table 1")
    cells = [" ".join(line.split()) for line in told.out.splitlines()]
    assert "| 2 | 0.25 | 16.47 | 110.38 % | 16.48 | 13.64 | 11.52 | 15.13 | 9.6 % |" in cells


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
    sheet = Sheet("T", ("a", "b|c"), (("1|2", "one\ntwo"), ("1.50", "-")), ("Said so.",))
    assert in_markdown(sheet) == (
        "### T\n\n"
        "| a    | b\\|c    |\n"
        "|------|---------|\n"
        "| 1\\|2 | one two |\n"
        "| 1.50 | -       |\n"
        "\n- Said so.\n"
    )
