"""A CamVid small enough to be trained on in a test."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

HEIGHT, WIDTH = 48, 64


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Splits train and val, each of two sequences with five small pictures."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        images, labels = tmp_path / split, tmp_path / f"{split}annot"
        images.mkdir()
        labels.mkdir()
        for name in [f"{s}{30 * i:05d}" for s in ("0001TP_", "0006R0_f") for i in range(5)]:
            picture = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            label = rng.integers(0, 12, (HEIGHT, WIDTH), dtype=np.uint8)
            cv2.imwrite(str(images / f"{name}.png"), picture)
            cv2.imwrite(str(labels / f"{name}.png"), label)
    return tmp_path
