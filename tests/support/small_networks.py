"""Networks that tests can afford: the same architecture on a trunk of five narrow blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from models import checkpoint
from models.build import Recipe, build
from models.segmenter import Segmenter

BLOCKS = (1, 1, 1, 2)
"""A first block in every stage, which takes a projected shortcut, and one that takes the plain."""

CHANNELS = (32, 64, 128, 256)
"""Of C1 to C4: an eighth of ResNet-50's."""

PLACES = ("backbone", "build", "segmenter")


@contextmanager
def small_trunks() -> Iterator[None]:
    """Until it is left, every network that is built or loaded in this process is a small one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.backbone.BLOCKS", BLOCKS)
        for place in PLACES:
            patch.setattr(f"models.{place}.STAGE_CHANNELS", CHANNELS)
        yield


@pytest.fixture(scope="module")
def small_networks() -> Iterator[None]:
    """Small networks for a whole module: ``pytestmark = pytest.mark.usefixtures(...)``. A fixture
    of the session is made before this one and must enter :func:`small_trunks` itself."""
    with small_trunks():
        yield


def lively(recipe: Recipe) -> Segmenter:
    """A network, always the same, whose norms are not the identity."""
    torch.manual_seed(0)
    network = build(recipe).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network


def save(path: Path, recipe: Recipe, network: Segmenter) -> Path:
    """A checkpoint, as one trained on CamVid."""
    checkpoint.save(path, recipe, network.state_dict(), dataset="camvid")
    return path
