"""The trunk: strides, dilations, names and sizes."""

from __future__ import annotations

import pytest
import torch

from models.backbone import Bottleneck, ResNet50, load_imagenet, plan_stages
from models.segmenter import stage_size


@pytest.mark.parametrize(
    ("output_stride", "strides", "dilations"),
    [
        (32, [1, 2, 2, 2], [(1, 1), (1, 1), (1, 1), (1, 1)]),
        (16, [1, 2, 2, 1], [(1, 1), (1, 1), (1, 1), (1, 2)]),
        (8, [1, 2, 1, 1], [(1, 1), (1, 1), (1, 2), (2, 4)]),
    ],
)
def test_resnet50_dilates_as_torchvision_does(
    output_stride: int, strides: list[int], dilations: list[tuple[int, int]]
) -> None:
    plans = plan_stages(output_stride, None)
    assert [plan.stride for plan in plans] == strides
    assert [(p.dilations[0], p.dilations[-1]) for p in plans] == dilations


def test_vd_dilates_every_block_and_grids_the_last_stage() -> None:
    assert [p.dilations for p in plan_stages(8, (1, 2, 4))][2:] == [(2,) * 6, (4, 8, 16)]
    assert plan_stages(16, (1, 2, 4))[3].dilations == (2, 4, 8)


def test_an_unknown_output_stride_is_refused() -> None:
    with pytest.raises(ValueError, match="output stride"):
        ResNet50(output_stride=4)


@pytest.mark.parametrize("vd", [False, True])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
@torch.no_grad()
def test_maps_have_the_sizes_that_the_memory_is_made_for(output_stride: int, vd: bool) -> None:
    trunk = ResNet50(output_stride, vd).eval()
    maps = trunk(torch.zeros(1, 3, 70, 100))
    for stage, feature in enumerate(maps, start=1):
        wanted = (stage_size(70, stage, trunk), stage_size(100, stage, trunk))
        assert tuple(feature.shape[2:]) == wanted


def test_parameters_and_names() -> None:
    assert sum(p.numel() for p in ResNet50(vd=True).parameters()) == 23_527_264
    names = ResNet50().state_dict().keys()
    assert {"conv1.weight", "layer1.0.downsample.0.weight", "layer4.2.bn3.running_var"} <= names


def test_imagenet_weights_load_by_name_and_wrong_ones_are_named() -> None:
    state = {name: torch.full_like(t, 0.5) for name, t in ResNet50().state_dict().items()}
    trunk = ResNet50()
    load_imagenet(trunk, {**state, "fc.weight": torch.zeros(10, 2048)})
    assert trunk.layer3[0].conv1.weight.unique().item() == 0.5
    with pytest.raises(ValueError, match=r"conv1\.weight"):
        load_imagenet(trunk, {k: v for k, v in state.items() if k != "conv1.weight"})
    with pytest.raises(ValueError, match="of another shape"):
        load_imagenet(trunk, {**state, "conv1.weight": torch.zeros(1)})


def test_blocks_are_left_out_while_training_only() -> None:
    trunk = ResNet50(output_stride=32)
    chances = [m.skipped for m in trunk.modules() if isinstance(m, Bottleneck)]
    assert chances == [0.0] * 16
    trunk.skip_blocks(0.3)
    chances = [m.skipped for m in trunk.modules() if isinstance(m, Bottleneck)]
    assert chances[0] == 0 and chances[-1] == pytest.approx(0.3)
    assert chances == sorted(chances)


@torch.no_grad()
def test_a_block_that_is_left_out_is_its_shortcut_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    block = Bottleneck(32, 8, 1, 1, None)
    x = torch.rand(1, 32, 5, 5).expand(400, -1, -1, -1).contiguous()
    block.train()
    block.bn1.eval(), block.bn2.eval(), block.bn3.eval()
    whole = block(x)[0]
    block.skipped = 0.25
    out = block(x)
    alone = (out == x).flatten(1).all(dim=1)
    assert 60 < alone.sum() < 140
    kept = torch.relu(x[0] + (whole - x[0]) / 0.75)
    inner = whole > 0  # elsewhere ReLU hides what the branch said
    assert torch.allclose(out[~alone][0][inner], kept[inner], atol=1e-6)
    block.eval()
    assert torch.equal(block(x)[0], whole)
