"""The shipped artefact as a start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from models import artefact
from models.segmenter import Segmenter
from server.engines.onnx_graph import shipped_model
from training.data.datasets import Clip, camvid
from training.learning.beginning import begin

SIZE = (64, 96)


@torch.no_grad()
def logits(network: Segmenter) -> Tensor:
    """Of two pictures, memory empty."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (2, *SIZE, 3), generator=generator, dtype=torch.uint8)
    memory = network.encoder.blank(len(frames), *SIZE, network.mean)
    return network.logits(network.normalise(frames), memory)[0]


def test_the_shipped_model_is_a_start_with_and_without_its_memory(tiny: Path) -> None:
    clips = [Clip(camvid(tiny, "train")[0].samples[:2])]
    folded, recipe, _ = artefact.load(shipped_model())
    wanted = logits(folded)
    for wished in (recipe, replace(recipe, encoder="resnet50", memory={})):
        found = logits(begin(wished, shipped_model(), clips, SIZE).eval())
        assert (found - wanted).abs().max() < 1e-3 * wanted.abs().max()
