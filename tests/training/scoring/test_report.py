"""Scores as values, JSON and a table."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from rich.console import Console

from models.spec import ClassLabel
from training.data.clips import Clip, Sample
from training.scoring.consistency import Consistency
from training.scoring.passes import Mode
from training.scoring.report import JudgeScore, left_out, score, summarise, table
from training.scoring.steppers import FakeStepper
from training.scoring.tally import Judged, Tally

CLASSES = (ClassLabel("Sky", (0, 0, 0)), ClassLabel("Car", (1, 1, 1)), ClassLabel("Cat", (2, 2, 2)))
NAMES = ["Sky", "Car", "Cat"]
TALLY = Tally(
    np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]]),
    frames=4,
    images=2,
    image_miou=1.0,
    judged={1: Judged(2, 0.3, 0.05, 0.25, 1)},
    consistency={8: Consistency(1.5, 2, 3.0, 4), 16: Consistency()},
)


def clip(frames: int, dense: bool) -> Clip:
    return Clip(tuple(Sample(Path(), Path(), "a", n) for n in range(frames)), dense)


def test_scores_are_in_percent_and_absent_ones_are_none() -> None:
    scored = score(TALLY, NAMES)
    assert (scored.miou, scored.accuracy, scored.image_miou) == (77.5, 87.5, 50.0)
    assert scored.iou == {"Sky": 75.0, "Car": 80.0, "Cat": None}
    assert (scored.vc8, scored.unchanged8, scored.vc16, scored.unchanged16) == (
        75.0,
        75.0,
        None,
        None,
    )
    assert scored.judge == {"1": JudgeScore(0.15, 0.05, 0.25, 50.0)}


def test_a_report_is_json_and_a_table() -> None:
    stepper = FakeStepper([np.zeros((4, 6), np.uint8)] * 2)
    tallies = {Mode.WITH: TALLY, Mode.OFF: Tally.empty(3)}
    report = summarise(stepper, "camvid val", [clip(9, True)], CLASSES, tallies)
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert told["results"]["with"]["miou"] == 77.5 and told["results"]["off"]["miou"] is None
    assert (told["height"], told["width"], told["clips"]) == (4, 6, 1)
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(table(report))
    shown = console.export_text()
    assert "fake on camvid val, 4 frames" in shown
    for wanted in ("with memory", "memory off", "77.50", "VC8", "0.150 (0.050-0.250)"):
        assert wanted in shown
    assert "Cat" not in shown and "VC16" not in shown


def test_what_is_left_out_has_a_reason() -> None:
    stepper = FakeStepper([np.zeros((4, 6), np.uint8)] * 2)
    assert left_out(stepper, [clip(16, True), clip(3, False)]) == ()
    (reason,) = left_out(stepper, [clip(16, False)])
    assert reason.startswith("video consistency: no clip's labels are dense")
    (reason,) = left_out(stepper, [clip(9, True)])
    assert "9 frames" in reason
