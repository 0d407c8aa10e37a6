"""An artefact as a start: the same network, its norms put back."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_networks import CHANNELS
from torch import Tensor, nn

from models.build import Recipe, build
from models.layers import fold_norms
from models.segmenter import Segmenter
from training.learning.learner import train_mode
from training.learning.unfolding import unfold
from training.settings import TrainSettings

pytestmark = pytest.mark.usefixtures("small_networks")

RECIPE = Recipe(output_stride=32)


def pictures(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (count, 64, 96, 3)
    return list(torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8))


def lived(recipe: Recipe) -> Segmenter:
    """A network whose norms are not fresh."""
    torch.manual_seed(0)
    network = build(recipe).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return network


@torch.no_grad()
def logits(network: Segmenter, frames: list[Tensor]) -> Tensor:
    memory = network.encoder.blank(len(frames), 64, 96, network.mean)
    return network.logits(network.normalise(torch.stack(frames)), memory)[0]


@pytest.mark.parametrize("head", ["deeplabv3plus", "pspnet", "sfnet", "dnlnet"])
def test_it_computes_what_the_folded_network_does(head: str) -> None:
    recipe = replace(RECIPE, head=head)
    folded = lived(recipe)
    wanted = logits(folded, pictures(3))
    fold_norms(folded)
    found = logits(unfold(folded, recipe, pictures(6)), pictures(3))
    assert (found - wanted).abs().max() < 1e-3 * wanted.abs().max()


def test_its_norms_have_the_statistics_that_training_finds() -> None:
    """So learning begins at what was learned, by statistics that are kept or the batch's."""
    folded = lived(RECIPE)
    fold_norms(folded)
    seen = pictures(8)
    network = unfold(folded, RECIPE, seen)
    kept = logits(network, seen)
    train_mode(network, TrainSettings(frozen_norm=False))
    network.head.aspp.dropout.eval()  # type: ignore[union-attr]
    by_batch = logits(network, seen)
    assert (by_batch - kept).abs().max() < 1e-2 * kept.abs().max()


def test_weights_get_the_size_that_learning_rates_are_meant_for() -> None:
    folded = lived(RECIPE)
    fold_norms(folded)
    state = unfold(folded, RECIPE, pictures(4)).state_dict()
    sizes = state["head.aspp.branches.1.pointwise.conv.weight"].flatten(1).square().mean(1).sqrt()
    torch.testing.assert_close(sizes, torch.full((256,), (3 * CHANNELS[3]) ** -0.5))
