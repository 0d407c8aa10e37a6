"""A whole run: the same however often it is killed, on whatever it is carried out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from models import checkpoint
from models.build import Recipe, build
from training.data.augment import AugmentOptions
from training.data.batches import plan_run
from training.data.datasets import DataError, camvid, open_dataset
from training.data.loading import Batch, load
from training.learning.learner import Learner
from training.learning.running import RunOptions, TrainingError, run, teach
from training.learning.validation import ValidationOptions
from training.settings import TrainSettings

pytestmark = pytest.mark.usefixtures("small_networks")

ROOT = Path(__file__).resolve().parents[3]
RECIPE = Recipe(output_stride=32)

LIGHT = replace(TrainSettings(), batch=2, clip_length=2, crop=(64, 64), warm_up=1, frozen_stages=4)
"""Only memory and head learn, so that checkpoints are small enough for a test."""

ON_CPU = RunOptions("cpu")
PATIENCE = 240.0


def command(data: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    """The real command: six iterations, validated after four and six, kept every two."""
    asked = (
        "--model deeplabv3plus-ma-resnet50 --output-stride 32 --freeze trunk --device cpu "
        "--batch 2 --clip-length 2 --crop 64 64 --warm-up 1 --iterations 6 --every 2 "
        "--validate 4 --validate-frames 4"
    )
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "training.train",
            "--data",
            data,
            "--out",
            out,
            *asked.split(),
            *more,
        ],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def killed_when(process: subprocess.Popen[str], ready: Callable[[], bool]) -> bool:
    """SIGKILL while it is ``ready``; False where it ended before.

    It is stopped first, so that nothing changes between the look and the kill.
    """
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        if ready():
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            process.send_signal(signal.SIGKILL if ready() else signal.SIGCONT)
        time.sleep(0.001)
    process.communicate(timeout=PATIENCE)
    return process.returncode == -signal.SIGKILL


def finished(process: subprocess.Popen[str]) -> str:
    told, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, told
    return told


def tensors(tree: Any, path: str = "") -> dict[str, Tensor]:
    """Every tensor and number of a checkpoint by its path in it."""
    if isinstance(tree, (dict, list)):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        found: dict[str, Tensor] = {}
        for key, value in items:
            found |= tensors(value, f"{path}/{key}")
        return found
    if isinstance(tree, (Tensor, int, float)):
        return {path: torch.as_tensor(tree)}
    return {}


def read_result(path: Path) -> dict[str, Any]:
    """A checkpoint without how its run was carried out."""
    return {name: part for name, part in checkpoint.read(path).items() if name != "options"}


def assert_same(ours: Path, theirs: Path) -> None:
    one, other = (tensors(read_result(path)) for path in (ours, theirs))
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder)).Reload()  # type: ignore[no-untyped-call]
    names = events.Tags()["scalars"]  # type: ignore[no-untyped-call]
    return {n: [(e.step, e.value) for e in events.Scalars(n)] for n in names}  # type: ignore[no-untyped-call]


@pytest.mark.timeout(900)
def test_a_run_killed_at_any_moment_ends_as_an_unbroken_one(tiny: Path, tmp_path: Path) -> None:
    """Killed while its first checkpoint is written, and again while a later one is; the resumed
    run makes its batches by threads, the unbroken one does not."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    drawing = ("--tone", "0.5", "--mix", "0.5", "--drop-path", "0.2", "--still", "0.3")
    finished(command(tiny, whole, *drawing))

    def writing(after: bool) -> bool:
        return (broken / "last.partial").exists() and (broken / "last.pt").exists() == after

    assert killed_when(command(tiny, broken, *drawing), lambda: writing(after=False))
    assert not (broken / "last.pt").exists()
    again = (*drawing, "--workers", "2")
    assert killed_when(command(tiny, broken, *again), lambda: writing(after=True))
    assert 2 <= checkpoint.read(broken / "last.pt")["training"]["iteration"] < 6
    told = finished(command(tiny, broken, *again))
    assert f"trained: {broken / 'last.pt'}" in told

    assert_same(broken / "last.pt", whole / "last.pt")
    assert_same(broken / "best.pt", whole / "best.pt")
    assert curves(broken / "events") == curves(whole / "events")


def test_a_run_leaves_what_it_was_told_and_what_it_saw(tiny: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, memory={"stages": (4,), "frames": 1})
    settings = replace(LIGHT, iterations=4, seed=3)
    watched = ValidationOptions(every=4, split="val", frames=4)
    path = run(
        recipe,
        settings,
        open_dataset("camvid", tiny),
        None,
        tmp_path / "run",
        replace(ON_CPU, validation=watched),
    )

    kept = checkpoint.read(path)
    assert TrainSettings.from_dict(kept["settings"]) == settings
    assert kept["dataset"] == "camvid" and kept["device"] == "cpu"
    assert kept["versions"]["torch"] == torch.__version__
    assert kept["options"]["validation"]["every"] == 4
    _, loaded, best = checkpoint.load(tmp_path / "run" / "best.pt")
    assert loaded.to_dict() == recipe.to_dict()
    assert best["best"] == kept["best"] and best["best"]["miou"] > 0

    seen = curves(tmp_path / "run" / "events")
    assert seen.keys() == {"train/loss", "rate/head", "rate/trunk", "rate/memory", "memory/held",
                           "judge/stage4", "validation/miou"}  # fmt: skip
    assert [step for step, _ in seen["train/loss"]] == [2, 4]
    assert seen["memory/held"] == [(2, 0.5), (4, 0.5)]
    assert seen["validation/miou"] == [(4, pytest.approx(kept["best"]["miou"]))]


def test_a_run_with_other_settings_is_not_resumed(tiny: Path, tmp_path: Path) -> None:
    settings = replace(LIGHT, iterations=2)
    run(RECIPE, settings, open_dataset("camvid", tiny), None, tmp_path / "run", ON_CPU)
    for recipe, changed in (
        (RECIPE, replace(settings, seed=1)),
        (replace(RECIPE, memory={"judge": True}), settings),
    ):
        with pytest.raises(DataError, match=r"was made with another (seed|model); give the same"):
            run(recipe, changed, open_dataset("camvid", tiny), None, tmp_path / "run", ON_CPU)


def learner(tiny: Path, **changes: Any) -> tuple[Learner, list[Batch]]:
    """A learner and the first two batches of its run."""
    settings = replace(LIGHT, **changes)
    torch.manual_seed(0)
    taught = Learner(build(RECIPE), settings, torch.ones(11))
    plan = islice(plan_run(camvid(tiny, "train"), settings), 2)
    return taught, list(load(plan, AugmentOptions(settings.crop), workers=0, pinned=False))


def test_what_is_drawn_in_a_batch_is_a_function_of_seed_and_iteration(tiny: Path) -> None:
    drawn = []
    for before in (1, 2):
        taught, batches = learner(tiny)
        torch.manual_seed(before)
        teach(taught, batches[0])
        drawn.append(torch.rand(1))
    teach(taught, batches[1])
    drawn.append(torch.rand(1))
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_loss_that_is_no_number_ends_the_run(tiny: Path) -> None:
    taught, batches = learner(tiny)
    taught.class_weights.fill_(float("nan"))
    with pytest.raises(TrainingError, match="nan at iteration 2; try a lower --rate"):
        teach(taught, batches[0])


def test_a_plain_network_trains_too(tiny: Path, tmp_path: Path) -> None:
    settings = replace(LIGHT, iterations=2)
    run(
        Recipe(encoder="resnet50", output_stride=32),
        settings,
        open_dataset("camvid", tiny),
        None,
        tmp_path,
        ON_CPU,
    )
    assert "judge/stage4" not in curves(tmp_path / "events")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_run_on_cuda(tiny: Path, tmp_path: Path, precision: str) -> None:
    """Losses are finite (teach sees to that) and near the CPU's; the file serves on CPU."""
    settings = replace(LIGHT, iterations=6, precision=precision)
    options = RunOptions("cuda", every=2, validation=ValidationOptions(every=6, frames=4))
    path = run(RECIPE, settings, open_dataset("camvid", tiny), None, tmp_path / "cuda", options)
    kept = checkpoint.read(path)
    assert kept["training"]["iteration"] == 6
    assert kept["device"] == torch.cuda.get_device_name()
    assert all(w.isfinite().all() for w in kept["weights"].values())
    assert (kept["training"]["scaler"] != {}) == (precision == "fp16")

    plain = replace(settings, precision="fp32")
    run(RECIPE, plain, open_dataset("camvid", tiny), None, tmp_path / "cpu", ON_CPU)
    ours, theirs = (curves(tmp_path / d / "events")["train/loss"][0][1] for d in ("cuda", "cpu"))
    assert ours == pytest.approx(theirs, rel=0.05)
    checkpoint.load(path)
