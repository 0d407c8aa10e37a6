"""The trunk: strides, dilations, names and sizes."""

from __future__ import annotations

import pytest
import torch

from models.backbone import ResNet50, load_imagenet, plan_stages
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
