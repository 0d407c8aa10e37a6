"""Networks and exported files step alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_networks import lively, save

from export.to_onnx import export
from models import checkpoint
from models.build import Recipe, build
from models.memory import StageFifo
from models.segmenter import Memory
from server.engines.onnx_graph import shipped_model
from training.data.labels import DataError
from training.scoring.steppers import NetworkStepper, open_model

pytestmark = pytest.mark.usefixtures("small_networks")

SIZE = (32, 64)


def frames(size: tuple[int, int], count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(count)]


@pytest.fixture(scope="module")
def network() -> NetworkStepper:
    torch.manual_seed(0)
    return NetworkStepper("fresh", build(Recipe(output_stride=32)).eval(), SIZE)


def test_only_a_frame_that_remembers_is_judged(network: NetworkStepper) -> None:
    first, second = frames(SIZE, 2)
    begun = network.step(first, network.blank())
    assert begun.mask.shape == SIZE and begun.judge == {}
    assert int(begun.memory.count) == 1
    judged = network.step(second, begun.memory).judge
    assert set(judged) == {4} and all(0 < a < 1 for a in judged.values())


def test_a_forgotten_memory_does_not_matter_whatever_is_in_it(network: NetworkStepper) -> None:
    """So memory off and memory reset before each frame are the same, bit for bit."""
    first, second = frames(SIZE, 2)
    kept = network.step(first, network.blank()).memory
    poisoned = Memory(
        kept.count, tuple(StageFifo(k * torch.nan, v * torch.nan) for k, v in kept.fifos)
    )
    off = network.step(second, network.blank())
    for memory in (kept, poisoned):
        reset = network.step(second, network.forget(memory))
        assert np.array_equal(reset.mask, off.mask) and reset.judge == {}
        newest = zip(reset.memory.fifos, off.memory.fifos, strict=True)
        assert all(torch.equal(a.key[:, 0], b.key[:, 0]) for a, b in newest)


def test_a_plain_network_has_no_memory() -> None:
    recipe = Recipe(encoder="resnet50", output_stride=32)
    stepper = NetworkStepper("plain", build(recipe).eval(), SIZE)
    assert stepper.frames == 0 and not stepper.judges
    stepped = stepper.step(frames(SIZE, 1)[0], stepper.blank())
    assert stepped.mask.shape == SIZE and stepped.judge == {}


def test_an_exported_file_steps_as_the_network_in_it(tmp_path: Path) -> None:
    recipe = Recipe(output_stride=32)
    trained = save(tmp_path / "trained.pt", recipe, lively(recipe))
    exact = tmp_path / "float32.onnx"
    export(trained, exact, (64, 96))
    artefact, classes = open_model(exact, threads=1)
    rebuilt, same = open_model(exact, runtime="torch", threads=1)
    assert classes == same and len(classes) == 11
    size = (artefact.height, artefact.width)
    assert (rebuilt.height, rebuilt.width, rebuilt.frames) == (*size, artefact.frames)
    assert rebuilt.judges and not artefact.judges
    first, second = frames(size, 2)
    held = [stepper.step(first, stepper.blank()).memory for stepper in (artefact, rebuilt)]
    ours, theirs = (s.step(second, m) for s, m in zip((artefact, rebuilt), held, strict=True))
    assert np.mean(ours.mask == theirs.mask) > 0.999
    off = artefact.step(second, artefact.blank())
    reset = artefact.step(second, artefact.forget(held[0]))
    assert np.array_equal(off.mask, reset.mask) and reset.judge == {}


def test_an_exported_file_has_one_size() -> None:
    with pytest.raises(DataError, match="480x352 only"):
        open_model(shipped_model(), (64, 96))


def test_a_checkpoint_is_opened_at_any_size(tmp_path: Path) -> None:
    recipe = replace(Recipe(), output_stride=32, classes=2)
    path = tmp_path / "last.pt"
    checkpoint.save(path, recipe, build(recipe).state_dict(), dataset="vspw-person")
    stepper, classes = open_model(path, SIZE)
    assert [c.name for c in classes] == ["rest", "person"]
    assert stepper.step(frames(SIZE, 1)[0], stepper.blank()).mask.max() <= 1
