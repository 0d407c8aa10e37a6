"""Segmented pictures of a small video, for tests of artefacts."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from models.spec import ClassLabel, ModelSpec
from server.frame import Frame, Labels, Mask, VideoInfo
from server.sinks.artefacts import Segmented
from server.sinks.overlay import resize_labels

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
SPEC = ModelSpec(
    name="tiny", head="deeplabv3plus", backbone="resnet50",
    classes=tuple(ClassLabel(f"class{i}", colour) for i, colour in enumerate(COLOURS)),
    height=24, width=32, output_stride=8, memory=(), memory_frames=0, memory_horizon=0,
    preset="default", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), licence="CC-BY-NC-4.0",
)  # fmt: skip
INFO = VideoInfo(64, 48, None, None, Fraction(30_000, 1001), Fraction(1, 30_000))


def labels(index: int) -> Labels:
    """Return all three classes at random, of the model's size."""
    return np.random.default_rng(index).integers(0, 3, (24, 32), np.uint8)


def segmented(index: int) -> Segmented:
    return with_labels(index, labels(index))


def with_labels(index: int, given: Labels) -> Segmented:
    """Return a black picture of INFO's size with a mask of the model's size."""
    picture = np.zeros((INFO.height, INFO.width, 3), np.uint8)
    small = np.zeros((24, 32, 3), np.uint8)
    pts = Fraction(index * 1001, 30_000)
    frame = Frame(small, index, pts, (INFO.height, INFO.width), picture)
    return Segmented(Mask(given, frame), resize_labels(given, INFO.height, INFO.width), pts)
