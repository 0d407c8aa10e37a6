"""A frozen trunk's maps, computed once for each picture and read back ever after.

Runs that differ in memory and head alone see the same pictures through the same trunk, whose maps
are then most of the work. They lie in a folder in float16, one safetensors file a picture.
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
    """Stands where a :class:`models.backbone.ResNet50` stood. Its weights cannot be trained.

    ``stages`` are those whose maps anybody reads; the others come out empty. A picture's maps are
    rounded to float16 (a relative error of 5e-4).
    """

    def __init__(self, trunk: ResNet50, stages: Collection[int], folder: Path) -> None:
        super().__init__()
        self.output_stride = trunk.output_stride
        self._kept = tuple(sorted(stages))
        self._trunk = [trunk.eval().requires_grad_(False)]
        """In a list: its weights are none of this module's."""
        stages_word = "".join(map(str, self._kept))
        print_of = checkpoint.fingerprint(trunk.state_dict())
        self._folder = folder / f"{print_of}-os{trunk.output_stride}-c{stages_word}"
        self._folder.mkdir(parents=True, exist_ok=True)

    def stages(self, image: Tensor) -> Iterator[Tensor]:
        """Normalised image (B, 3, H, W) -> C1, C2, C3, C4 in turn, float32, channels last."""
        pictures = [self._maps(picture) for picture in image]
        for stage, channels in enumerate(STAGE_CHANNELS, start=1):
            if stage not in self._kept:
                yield image.new_empty(len(image), channels, 0, 0)
                continue
            maps = torch.stack([held[f"c{stage}"] for held in pictures])
            yield maps.to(image.dtype).permute(0, 3, 1, 2)

    def _maps(self, picture: Tensor) -> dict[str, Tensor]:
        """Each kept stage's map (h, w, c) float16 of one picture (3, H, W)."""
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
    """Put a memo of what head and memory read in the trunk's place, and return the trunk."""
    trunk = network.encoder.trunk
    stages = {*network.head.stages, *network.encoder.memory_stages}
    network.encoder.trunk = MemoTrunk(trunk, stages, folder)  # type: ignore[assignment]
    return trunk
