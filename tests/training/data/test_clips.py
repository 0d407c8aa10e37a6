"""Clips: which are dense, and labels that do not fit their pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data.clips import Clip, Sample, class_shares, picture_files, read_label, split_clips
from training.data.labels import VOID, DataError


def sample(folder: Path, name: str, size: tuple[int, int], label: list[list[int]]) -> Sample:
    """A picture of ``size`` (width, height) with a label of CamVid's indices."""
    Image.new("RGB", size).save(folder / f"{name}.jpg")
    Image.fromarray(np.array(label, np.uint8)).save(folder / f"{name}.png")
    return Sample(folder / f"{name}.jpg", folder / f"{name}.png", name, 0)


def test_labels_of_another_size_than_their_picture_are_refused(tmp_path: Path) -> None:
    assert read_label(sample(tmp_path, "fits", (2, 1), [[0, 11]])).tolist() == [[0, VOID]]
    with pytest.raises(DataError, match=r"larger\.png is 2x1, its picture larger\.jpg 4x2"):
        read_label(sample(tmp_path, "larger", (4, 2), [[0, 1]]))


def test_a_clip_is_dense_where_its_samples_are_close() -> None:
    def samples(sequence: str, step: int) -> list[Sample]:
        return [Sample(Path(), Path(), sequence, step * n) for n in range(4)]

    clips = split_clips(samples("a", 30) + samples("b", 2) + samples("c", 3)[:1], dense_step=2)
    assert [clip.dense for clip in clips] == [False, True, False]
    assert clips[1].samples[3].name == "b_000006"


def test_shares_come_from_labels_spread_over_all(tmp_path: Path) -> None:
    labels = [[[n, n]] for n in range(6)]
    samples = [sample(tmp_path, str(n), (2, 1), label) for n, label in enumerate(labels)]
    clip = Clip(tuple(samples))
    assert class_shares([clip], 6).tolist() == [1 / 6] * 6
    assert class_shares([clip], 6, most=3).tolist() == [1 / 3, 0, 1 / 3, 0, 1 / 3, 0]


def test_pictures_are_listed_by_name(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in picture_files(tmp_path)] == ["a.png", "b.JPG"]
    with pytest.raises(DataError, match="absent is missing"):
        picture_files(tmp_path / "absent")
