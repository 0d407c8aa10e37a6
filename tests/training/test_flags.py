"""Flags and the fields they set."""

from __future__ import annotations

import argparse
from dataclasses import fields

import pytest

from models.options import MemoryOptions
from training.flags import MEMORY_FLAGS, SETTINGS_FLAGS, add_flags, changes
from training.settings import TrainSettings


def parse(*arguments: str) -> tuple[dict[str, object], dict[str, object]]:
    parser = argparse.ArgumentParser()
    add_flags(parser, "settings", SETTINGS_FLAGS)
    add_flags(parser, "memory", MEMORY_FLAGS)
    given = parser.parse_args(arguments)
    return changes(given, SETTINGS_FLAGS), changes(given, MEMORY_FLAGS)


def test_every_field_has_a_flag() -> None:
    for value, flags in ((TrainSettings, SETTINGS_FLAGS), (MemoryOptions, MEMORY_FLAGS)):
        assert [flag.field for flag in flags] == [field.name for field in fields(value)]


def test_what_is_not_given_changes_nothing() -> None:
    assert parse() == ({}, {})


def test_what_is_given_comes_in_its_own_type() -> None:
    asked = (
        "--crop 96 128 --scale 0.5 2 --rate 1e-3 --no-frozen-norm --precision bf16 "
        "--memory-stages 4,1 --memory-frames 3 --memory-ratio 0.5 --attention-stride 4 "
        "--key-norm none --memory-value enhanced --judge --no-enhanced-norm"
    )
    settings, memory = parse(*asked.split())
    assert settings == {
        "crop": (96, 128),
        "scale": (0.5, 2.0),
        "rate": 1e-3,
        "frozen_norm": False,
        "precision": "bf16",
    }
    assert memory == {
        "stages": (1, 4),
        "frames": 3,
        "ratio": 0.5,
        "attention_stride": 4,
        "key_norm": "none",
        "memory_value": "enhanced",
        "enhanced_norm": False,
        "judge": True,
    }


@pytest.mark.parametrize(
    ("flag", "wrong"),
    [("--memory-stages", "1,5"), ("--memory-stages", ""), ("--precision", "fp8")],
)
def test_wrong_values_are_reported_with_the_flag(
    flag: str, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(flag, wrong)
    assert flag in capsys.readouterr().err
