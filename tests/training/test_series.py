"""A series trains its rows, writes the tables' input, and continues where it stopped."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models import checkpoint
from models.build import Recipe, build
from training import series
from training.data.datasets import DataError, open_dataset
from training.experiments.rows import Experiment
from training.experiments.runs import read_runs
from training.series import Series
from training.settings import TrainSettings

pytestmark = pytest.mark.usefixtures("small_networks")

LIGHT = replace(
    TrainSettings(), iterations=4, batch=2, clip_length=2, crop=(64, 64), warm_up=1, still=0.5
)
ROWS = (
    Experiment("baseline", memory=None),
    Experiment("quick memory", changes={"memory_rate": 2.0}),
)


@pytest.fixture
def small(tiny: Path, tmp_path: Path) -> Series:
    for name in ("", "annot"):
        shutil.copytree(tiny / f"val{name}", tiny / f"test{name}")
    plain = Recipe(encoder="resnet50", output_stride=32)
    torch.manual_seed(0)
    start = tmp_path / "plain.pt"
    checkpoint.save(start, plain, build(plain).state_dict(), dataset="camvid")
    return Series(
        dataset=open_dataset("camvid", tiny),
        start=start,
        out=tmp_path / "results",
        work=tmp_path / "work",
        settings=LIGHT,
        whole=False,
        output_stride=32,
        size=(64, 64),
        device=torch.device("cpu"),
    )


def test_rows_become_runs_that_tables_read(small: Series, monkeypatch: pytest.MonkeyPatch) -> None:
    series.carry_out(small, ROWS, [0])
    plain, remembering = read_runs(small.out)
    assert (plain.name, remembering.name) == ("baseline", "quick memory")
    assert (plain.changed, remembering.changed) == (set(), set())
    assert plain.series == remembering.series == "camvid-plain-os32"
    assert set(plain.results["test"]) == {"off"}
    assert set(remembering.results["val"]) == {"with", "off"}
    kept, recipe, more = checkpoint.load(small.work / f"{small.path(ROWS[1], 0).stem}.pt")
    assert recipe.name == "deeplabv3plus-ma-resnet50"
    assert more["settings"] == replace(LIGHT, memory_rate=2.0).to_dict()
    given = checkpoint.load(small.start)[0].encoder.trunk.state_dict()
    assert all(torch.equal(v, given[k]) for k, v in kept.encoder.trunk.state_dict().items())
    monkeypatch.setattr(series, "attempt", lambda *_: pytest.fail("trained a second time"))
    series.carry_out(small, ROWS, [0])
    longer = replace(small, settings=replace(LIGHT, iterations=6))
    with pytest.raises(DataError, match="other iterations, settings; move it"):
        series.carry_out(longer, ROWS, [0])


def test_whole_networks_are_trained_too(small: Series) -> None:
    trained = replace(small, whole=True, settings=replace(LIGHT, iterations=2, frozen_stages=4))
    run = series.attempt(trained, Experiment("default"), 0)
    assert run.series == "camvid-whole-os32" and set(run.results) == {"test", "val"}


def test_wrong_input_ends_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--data", str(tmp_path), "--start", str(tmp_path / "absent.pt")]
    for more, told in (
        (["--only", "unet-baseline"], "no experiment 'unet-baseline'"),
        (["--only", "pspnet-baseline", "--out", str(tmp_path / "o")], "missing"),
        (["--device", "tpu"], "no device 'tpu'"),
    ):
        assert series.main([*asked, *more]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("training.series: ") and told in line
