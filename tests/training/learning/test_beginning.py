"""What a run begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models import checkpoint
from models.build import Recipe, build
from training.data.datasets import DataError, camvid
from training.learning.beginning import balance, begin, open_device
from training.settings import TrainSettings

pytestmark = pytest.mark.usefixtures("small_networks")

PLAIN = Recipe(encoder="resnet50", output_stride=32)
WITH_MEMORY = Recipe(output_stride=32)
CROP = (256, 352)


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "baseline.pt"
    checkpoint.save(path, PLAIN, build(PLAIN).state_dict())
    return path


def test_a_memory_may_be_put_into_a_plain_networks_checkpoint(baseline: Path) -> None:
    network = begin(WITH_MEMORY, baseline, [], CROP)
    for name, tensor in checkpoint.read(baseline)["weights"].items():
        assert torch.equal(network.state_dict()[name], tensor), name
    checkpoint.save(baseline, WITH_MEMORY, network.state_dict())
    again = begin(replace(WITH_MEMORY, memory={"frames": 3}), baseline, [], CROP)
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_what_does_not_fit_is_refused(baseline: Path, tmp_path: Path) -> None:
    with pytest.raises(checkpoint.CheckpointError, match="does not fit"):
        begin(replace(PLAIN, classes=12), baseline, [], CROP)
    text = tmp_path / "weights.safetensors"
    text.write_text("text")
    with pytest.raises(DataError, match="neither"):
        begin(PLAIN, text, [], CROP)


def test_a_fresh_head_has_no_taps_that_its_crops_never_reach() -> None:
    recipe = replace(PLAIN, output_stride=16)
    for crop, unreached in (((256, 352), [True, False, True]), ((304, 352), [False] * 3)):
        head = begin(recipe, None, [], crop).state_dict()
        taps = head["head.aspp.branches.3.depthwise.conv.weight"]  # 18 positions apart
        rows = (taps == 0).all(dim=(0, 1, 3))
        assert rows.tolist() == unreached
        assert (head["head.aspp.branches.2.depthwise.conv.weight"] != 0).all()


def test_rare_classes_weigh_more_where_that_is_asked_for(tiny: Path) -> None:
    clips = camvid(tiny, "train")
    plain = balance(clips, PLAIN, TrainSettings(class_balance=0.0))
    assert torch.equal(plain, torch.ones(11))
    weighed = balance(clips, PLAIN, TrainSettings(class_balance=1.0))
    assert weighed.median() == pytest.approx(1, abs=0.01) and weighed.min() < 1 < weighed.max()


def test_devices() -> None:
    assert open_device("cpu") == torch.device("cpu")
    assert open_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
