"""Compute the maps of a frozen trunk once per picture, and read them from a folder afterwards.

Runs that differ only in memory and head use the same pictures and the same trunk, whose maps would
be most of the work. The folder has one safetensors file per picture, in float16.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models import checkpoint
from models.backbone import STAGE_CHANNELS, ResNet50
from models.segmenter import Segmenter


class MemoTrunk(nn.Module):
    """Replaces a :class:`models.backbone.ResNet50` whose weights are not trained.

    ``stages`` are those whose maps are read; the maps of other stages are empty. Maps are rounded
    to float16 (a relative error of 5e-4).
    """

    def __init__(self, trunk: ResNet50, stages: Collection[int], folder: Path) -> None:
        super().__init__()
        self.output_stride = trunk.output_stride
        self._kept = tuple(sorted(stages))
        self._trunk = [trunk.eval().requires_grad_(False)]
        """In a list, so that its weights are not parameters of this module."""
        digits = "".join(map(str, self._kept))
        fingerprint = checkpoint.fingerprint(trunk.state_dict())
        self._folder = folder / f"{fingerprint}-os{trunk.output_stride}-c{digits}"
        self._folder.mkdir(parents=True, exist_ok=True)

    def stages(self, image: Tensor) -> Iterator[Tensor]:
        """Yield C1, C2, C3, C4 of a normalised image (B, 3, H, W), each (B, c, h, w).

        They have the image's type and are in channels-last memory format.
        """
        pictures = [self._maps(picture) for picture in image]
        for stage, channels in enumerate(STAGE_CHANNELS, start=1):
            if stage not in self._kept:
                yield image.new_empty(len(image), channels, 0, 0)
                continue
            maps = torch.stack([held[f"c{stage}"] for held in pictures])
            yield maps.to(image.dtype).permute(0, 3, 1, 2)

    def _maps(self, picture: Tensor) -> dict[str, Tensor]:
        """Return the float16 map (h, w, c) of each kept stage for one picture (3, H, W)."""
        digest = hashlib.blake2b(picture.contiguous().numpy().tobytes(), digest_size=16).hexdigest()
        path = self._folder / f"{digest}.safetensors"
        if not path.exists():
            self._compute(picture, path)
        return load_file(path)

    @torch.no_grad()
    def _compute(self, picture: Tensor, path: Path) -> None:
        image = picture[None].contiguous(memory_format=torch.channels_last)
        held = {
            f"c{stage}": feature[0].permute(1, 2, 0).half().contiguous()
            for stage, feature in enumerate(self._trunk[0].stages(image), start=1)
            if stage in self._kept
        }
        partial = path.with_suffix(f".{os.getpid()}.partial")  # two processes may share a folder
        save_file(held, partial)
        partial.replace(path)


def memoise(network: Segmenter, folder: Path) -> ResNet50:
    """Replace the trunk with a memo of the maps that head and memory read; return the trunk."""
    trunk = network.encoder.trunk
    stages = {*network.head.stages, *network.encoder.memory_stages}
    network.encoder.trunk = MemoTrunk(trunk, stages, folder)  # type: ignore[assignment]
    return trunk
