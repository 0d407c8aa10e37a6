"""Evaluation: memory emptied where a clip begins, labels compared at their own size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from training import evaluate
from training.datasets import Clip, camvid

Labels = NDArray[np.uint8]


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    """Two clips of two frames: the left half is class 0, the right class 1, one row void."""
    for folder in ("test", "testannot"):
        (tmp_path / folder).mkdir()
    label = np.zeros((8, 12), np.uint8)
    label[:, 6:] = 1
    label[0] = 11
    for name in ("a_00000", "a_00030", "b_00000", "b_00030"):
        cv2.imwrite(str(tmp_path / "test" / f"{name}.png"), np.zeros((8, 12, 3), np.uint8))
        cv2.imwrite(str(tmp_path / "testannot" / f"{name}.png"), label)
    return camvid(tmp_path, "test")


class Guesser:
    """Says class 0 everywhere but where it remembers something: there it is right."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def step(self, frame: Labels, memory: Any) -> tuple[Labels, Any]:
        assert frame.shape == (4, 6, 3)
        self.given.append(memory)
        mask = np.zeros((4, 6), np.uint8)
        if memory is not None:
            mask[:, 3:] = 1
        return mask, len(self.given)


def test_memory_is_handed_on_within_a_clip_and_emptied_between(clips: list[Clip]) -> None:
    guesser = Guesser()
    model = evaluate.Model("guesser", 4, 6, guesser.step)
    matrix = evaluate.evaluate(model, clips, 3, with_memory=True)
    assert guesser.given == [None, 1, None, 3]
    # 7 rows count; two frames are all class 0, two are right.
    assert matrix.tolist() == [[4 * 42, 0, 0], [2 * 42, 2 * 42, 0], [0, 0, 0]]


def test_memory_off_never_hands_any_on(clips: list[Clip]) -> None:
    guesser = Guesser()
    model = evaluate.Model("guesser", 4, 6, guesser.step)
    matrix = evaluate.evaluate(model, clips, 3, with_memory=False)
    assert guesser.given == [None] * 4
    assert matrix[1].tolist() == [4 * 42, 0, 0]


def test_the_report_is_in_percent() -> None:
    matrix = np.array([[3, 1], [0, 4]])
    told = evaluate.report({"with memory": matrix}, ["Sky", "Building"])
    assert told["with memory"] == {
        "miou": 77.5,
        "accuracy": 87.5,
        "iou": {"Sky": 75.0, "Building": 80.0},
    }
    json.dumps(told)


@pytest.mark.usefixtures("clips")
def test_wrong_files_end_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.onnx").write_text("text")
    for model in ("absent.onnx", "text.onnx", "absent.pt"):
        asked = ["--data", str(tmp_path), "--model", str(tmp_path / model)]
        assert evaluate.main(asked) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3 and all(line.startswith("training.evaluate: ") for line in told)
