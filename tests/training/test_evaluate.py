"""The command: from folders to numbers, JSON and pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models import checkpoint
from models.build import Recipe, build
from models.classes import CAMVID_CLASSES
from training import evaluate
from training.data.datasets import open_dataset
from training.data.labels import DataError
from training.scoring.passes import Mode, run
from training.scoring.steppers import FakeStepper

pytestmark = pytest.mark.usefixtures("small_networks")

PERSON = 61


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    """Two clips of two frames, 12x8: the left half is class 0, the right class 1, one row void."""
    label = np.zeros((8, 12), np.uint8)
    label[:, 6:] = 1
    label[0] = 11
    for folder in ("test", "testannot"):
        (tmp_path / folder).mkdir()
    for name in ("a_00000", "a_00030", "b_00000", "b_00030"):
        Image.new("RGB", (12, 8)).save(tmp_path / "test" / f"{name}.png")
        Image.fromarray(label).save(tmp_path / "testannot" / f"{name}.png")
    return tmp_path


@pytest.fixture
def vspw(tmp_path: Path) -> Path:
    """One clip of nine frames, 64x32, in which a person stands."""
    rng = np.random.default_rng(0)
    mask = np.ones((32, 64), np.uint8)
    mask[8:, 20:30] = PERSON
    for number in range(9):
        for folder, pixels in (
            ("origin", rng.integers(0, 256, (32, 64, 3), dtype=np.uint8)),
            ("mask", mask),
        ):
            path = tmp_path / "data" / "street" / folder / f"{number:08d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    (tmp_path / "val.txt").write_text("street\n")
    return tmp_path


@pytest.fixture
def guesser() -> FakeStepper:
    """T=2, 6x4: says class 0 everywhere but where it remembers something, and there is right."""
    right = np.zeros((4, 6), np.uint8)
    right[:, 3:] = 1
    return FakeStepper([np.zeros((4, 6), np.uint8), right, right])


def test_modes_are_counted_apart_and_the_helped_frames_kept(
    camvid: Path, guesser: FakeStepper
) -> None:
    clips = open_dataset("camvid", camvid).clips("test")
    modes = [Mode.WITH, Mode.OFF]
    tallies, extremes = evaluate.evaluate(run(guesser, clips, modes), modes, 3, kept=1)
    # 7 rows count; with memory two frames are all class 0 and two are right.
    assert tallies[Mode.WITH].matrix.tolist() == [[4 * 42, 0, 0], [2 * 42, 2 * 42, 0], [0, 0, 0]]
    assert tallies[Mode.OFF].matrix.tolist() == [[4 * 42, 0, 0], [4 * 42, 0, 0], [0, 0, 0]]
    (helped,) = extremes.helped
    assert helped.shot.index == 1 and helped.right == 0.5 and not extremes.hurt


def test_the_modes_asked_for_must_be_possible(guesser: FakeStepper) -> None:
    plain = FakeStepper([np.zeros((4, 6), np.uint8)])
    assert evaluate.choose_modes(None, guesser, compared=True) == [Mode.WITH, Mode.OFF]
    assert evaluate.choose_modes(None, plain, compared=False) == [Mode.OFF]
    assert evaluate.choose_modes([Mode.ITSELF], guesser, compared=False) == [Mode.ITSELF]
    with pytest.raises(DataError, match="has no memory"):
        evaluate.choose_modes([Mode.WITH], plain, compared=False)
    with pytest.raises(DataError, match="give --memory with,off"):
        evaluate.choose_modes(None, plain, compared=True)


def test_a_model_of_other_classes_is_refused(vspw: Path) -> None:
    with pytest.raises(DataError, match="11 classes, Sky and so on; vspw has 124, wall"):
        evaluate.check_classes(CAMVID_CLASSES, open_dataset("vspw", vspw))


def test_all_of_it_on_a_fresh_network(
    vspw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    recipe = Recipe(output_stride=32, classes=2)
    weights = build(recipe).state_dict()
    checkpoint.save(tmp_path / "fresh.pt", recipe, weights, dataset="vspw-person")
    asked = f"""--data {vspw} --dataset vspw-person --split val --model {tmp_path / "fresh.pt"}
        --size 32 64 --memory with,off,reset --json {tmp_path / "numbers.json"}
        --pictures {tmp_path / "pictures"} --frames 1 --no-image"""
    assert evaluate.main(asked.split()) == 0
    told = json.loads((tmp_path / "numbers.json").read_text())
    results = told["results"]
    assert told["data"] == "vspw-person val" and list(results) == ["with", "off", "reset"]
    assert results["off"] == results["reset"]
    assert set(results["with"]["judge"]) == {"4"} and not results["off"]["judge"]
    assert results["with"]["frames"] == 9 and results["with"]["vc8"] is not None
    assert results["with"]["vc16"] is None and "9 frames" in told["left_out"][0]
    assert set(results["with"]["iou"]) == {"rest", "person"}
    drawn = list((tmp_path / "pictures").glob("*.png"))
    shown = capsys.readouterr().out
    assert "memory off" in shown and all(path.name in shown for path in drawn)


def test_wrong_files_end_in_one_sentence(camvid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (camvid / "text.onnx").write_text("text")
    for model in ("absent.onnx", "text.onnx", "absent.pt"):
        asked = ["--data", str(camvid), "--model", str(camvid / model)]
        assert evaluate.main(asked) == 1
    assert evaluate.main(["--data", str(camvid), "--split", "val", "--model", "any.onnx"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 4 and all(line.startswith("training.evaluate: ") for line in told)


def test_unknown_modes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        evaluate.parse(["--data", ".", "--model", "a.onnx", "--memory", "with,on"])
    assert "with, off, reset, itself" in capsys.readouterr().err
