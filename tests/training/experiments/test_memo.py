"""The stored maps are those of the trunk, and are computed once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.backbone import STAGE_CHANNELS, ResNet50
from models.build import Recipe, build
from training.experiments.memo import MemoTrunk, memoise

PICTURES = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def trunk() -> ResNet50:
    torch.manual_seed(0)
    return ResNet50(32).eval()


@torch.no_grad()
def test_maps_are_the_trunks_rounded_to_half(trunk: ResNet50, tmp_path: Path) -> None:
    memo = MemoTrunk(trunk, (1, 4), tmp_path)
    for _ in range(2):
        for kept, whole in zip(memo.stages(PICTURES), trunk.stages(PICTURES), strict=True):
            if kept.numel():
                torch.testing.assert_close(kept, whole, rtol=1e-3, atol=1e-3)
    shapes = [tuple(kept.shape) for kept in memo.stages(PICTURES)]
    assert shapes[0] == (2, 256, 16, 24) and shapes[3] == (2, 2048, 2, 3)
    assert shapes[1:3] == [(2, channels, 0, 0) for channels in STAGE_CHANNELS[1:3]]
    assert next(memo.stages(PICTURES)).is_contiguous(memory_format=torch.channels_last)


def test_a_picture_is_computed_once(
    trunk: ResNet50, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = list(MemoTrunk(trunk, (4,), tmp_path).stages(PICTURES))
    again = MemoTrunk(trunk, (4,), tmp_path)
    monkeypatch.setattr(ResNet50, "stages", lambda *_: pytest.fail("computed a second time"))
    found = list(again.stages(PICTURES.flip(0)))
    assert torch.equal(found[3], expected[3].flip(0))
    assert not list(tmp_path.rglob("*.partial"))


def test_another_trunk_has_maps_of_its_own(trunk: ResNet50, tmp_path: Path) -> None:
    torch.manual_seed(1)
    for one in (trunk, ResNet50(32), ResNet50(16)):
        list(MemoTrunk(one, (4,), tmp_path).stages(PICTURES))
    assert len(list(tmp_path.iterdir())) == 3


def test_a_network_keeps_what_head_and_memory_read(tmp_path: Path) -> None:
    network = build(Recipe(output_stride=32, memory={"stages": [2, 4]})).eval()
    trunk = memoise(network, tmp_path)
    assert isinstance(trunk, ResNet50)
    maps = list(network.encoder.trunk.stages(PICTURES))
    assert [bool(stage.numel()) for stage in maps] == [True, True, False, True]
    assert not [name for name in network.state_dict() if name.startswith("encoder.trunk.")]
