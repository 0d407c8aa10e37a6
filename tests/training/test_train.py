"""The command: its flags become a recipe, settings and options; errors become one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from training import train
from training.learning.running import RunOptions
from training.learning.validation import ValidationOptions
from training.settings import RECIPES

NEEDED = ("--data", "data", "--out", "out")


def test_a_recipe_is_taken_as_it_is() -> None:
    for name, settings in RECIPES.items():
        given = train.parse([*NEEDED, "--recipe", name])
        assert train.settings_of(given) == settings
        assert train.recipe_of(given, 11).memory == {}
        assert train.options_of(given) == RunOptions()


def test_a_single_flag_has_the_last_word() -> None:
    given = train.parse([*NEEDED, "--recipe", "paper", "--freeze", "trunk", "--no-frozen-norm"])
    settings = train.settings_of(given)
    assert (settings.frozen_stages, settings.frozen_norm) == (4, False)
    assert settings.optimiser == "sgd"


def test_memory_flags_change_the_preset() -> None:
    given = train.parse([*NEEDED, "--preset", "paper", "--memory-frames", "3", "--no-judge"])
    options = train.recipe_of(given, 11).options
    assert options is not None
    assert (options.frames, options.judge, options.key_norm) == (3, False, "none")


def test_how_it_is_carried_out() -> None:
    asked = "--device cpu --every 7 --workers 2 --validate 50 --validate-frames 9"
    given = train.parse([*NEEDED, *asked.split(), "--validate-size", "64", "96"])
    watched = ValidationOptions(50, "val", 9, (64, 96))
    assert train.options_of(given) == RunOptions("cpu", 7, 2, watched)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("", "missing"),
        ("--model unet-resnet50", "no head 'unet'"),
        ("--model deeplabv3plus-resnet50 --judge", "has no memory"),
        ("--memory-frames 0", "at least one frame"),
        ("--device tpu", "no device 'tpu'"),
        ("--device meta", "cpu or cuda"),
        ("--device cuda:99", "cuda:99 is not available"),
        ("--batch 0", "Set batch to at least 1"),
        ("--average 1", "below 1"),
        ("--drop-path 1", "Set drop_path to at least 0 and below 1"),
        ("--dropout -1", "Set dropout to at least 0"),
        ("--mix 2", "Set mix to a value from 0 to 1"),
        ("--frozen-stages 5", "0 to 4"),
    ],
)
def test_wrong_input_ends_in_one_sentence(
    asked: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert train.main([*where, *asked.split()]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("training.train: ") and told in line


def test_an_interrupted_run_says_how_to_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "run", interrupted)
    assert train.main(["--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 130
    assert "run the same command to continue" in capsys.readouterr().err
