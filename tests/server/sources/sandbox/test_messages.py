"""The orders for a sandboxed decoder, and reading its answers."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.errors import BadVideo
from server.frame import Frame
from server.sources.cuts import KeyFrame
from server.sources.decoding import Counts, Reading, Stretch
from server.sources.open_file import OpenFile
from server.sources.sandbox.messages import (
    NONSENSE,
    counts_to_list,
    error_of,
    error_to_dict,
    frame_of,
    frame_to_dict,
    reading_of,
    reading_to_dict,
    shapes_of,
    take_counts,
)

READING = Reading(
    location=Path("a.mp4"),
    height=4,
    width=6,
    keep_original=True,
    start=Fraction(1, 3),
    max_pixels=100,
    timeout=2.5,
    threads=2,
    late=0.5,
    rate=Fraction(30000, 1001),
    stretch=Stretch(KeyFrame(8, 800, None, Fraction(8, 25)), 10, 12),
)
FRAME = Frame(
    pixels=np.zeros((4, 6, 3), np.uint8),
    original=np.ones((8, 12, 3), np.uint8),
    seq=3,
    pts=Fraction(1, 7),
    duration=Fraction(1, 25),
    size=(8, 12),
    arrived=5.5,
    wall=9.25,
    camera_time=1.7e9,
    decode=0.125,
    decoder="cpu",
    damaged=True,
    replay=True,
)


def through_json(data: object) -> Any:
    return json.loads(json.dumps(data))


def test_a_reading_arrives_whole() -> None:
    reader, writer = os.pipe()
    file = OpenFile(reader, "a.mp4")
    found = reading_of(through_json(reading_to_dict(READING)), file)
    os.close(reader)
    os.close(writer)
    assert found.location is file
    names = ("height", "width", "keep_original", "start", "max_pixels", "threads", "rate")
    for name in (*names, "stretch", "timeout", "late"):
        assert getattr(found, name) == getattr(READING, name)


def test_a_frame_arrives_whole() -> None:
    answer = through_json(frame_to_dict(FRAME, 1, Counts()))
    assert answer["slot"] == 1 and shapes_of(answer, READING) == [(4, 6, 3), (8, 12, 3)]
    assert FRAME.original is not None
    found = frame_of(answer, [np.asarray(FRAME.pixels), FRAME.original], READING)
    for name in Frame.__slots__:
        assert getattr(found, name) is getattr(FRAME, name) or getattr(found, name) == getattr(
            FRAME, name
        )


@pytest.mark.parametrize(
    "shapes",
    [
        [],
        [[4, 6, 3]],
        [[6, 4, 3], [8, 12, 3]],
        [[4, 6, 3], [11, 10, 3]],
        [[4, 6, 3], [-8, -12, 3]],
        [[4, 6, 3], [8, 12, 4]],
        [[4, 6, 3], [8, 12, 3], [1, 1, 3]],
        [["a", 6, 3]],
        [4],
        None,
    ],
)
def test_pictures_that_were_not_ordered(shapes: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        shapes_of({"shapes": shapes, "size": [8, 12]}, READING)


@pytest.mark.parametrize("size", [[12, 8], [8, 13], [10**6, 10**6], [0, 12], [-8, -12], [8], None])
@pytest.mark.parametrize("whole", [True, False])
def test_a_size_that_masks_cannot_be_drawn_at(size: Any, whole: bool) -> None:
    reading = replace(READING, keep_original=whole)
    answer = through_json(frame_to_dict(FRAME, 0, Counts())) | {"size": size}
    with pytest.raises((ValueError, TypeError)):
        shapes_of(answer, reading)
    if size not in ([12, 8], [8, 13]):
        with pytest.raises((ValueError, TypeError)):
            frame_of(answer, [np.asarray(FRAME.pixels)], reading)


@pytest.mark.parametrize("name", ["arrived", "wall", "camera_time", "decode", "seq"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1e999"])
def test_numbers_that_no_sum_may_contain(name: str, value: str) -> None:
    answer = through_json(frame_to_dict(FRAME, 0, Counts())) | {name: json.loads(value)}
    with pytest.raises(NONSENSE):
        frame_of(answer, [np.asarray(FRAME.pixels)], READING)


def test_a_negative_duration_counts_as_none() -> None:
    answer = through_json(frame_to_dict(FRAME, 0, Counts())) | {"decode": -9.0}
    assert frame_of(answer, [np.asarray(FRAME.pixels)], READING).decode == 0


def test_only_errors_of_decoding_are_believed() -> None:
    error = error_of(through_json(error_to_dict(BadVideo("It is damaged."))))
    assert type(error) is BadVideo and str(error) == "It is damaged."
    assert len(str(error_of({"error": BadVideo.code, "detail": "x" * 9999}))) == 1000
    with pytest.raises(KeyError):
        error_of({"error": "unauthorized", "detail": "Log in."})


def test_counts_arrive_whole() -> None:
    counts, found = Counts(), Counts()
    counts.tally.take(1, 2, 3, True)
    counts.arrivals.packets, counts.arrivals.frames, counts.arrivals.last_frame = 9, 8, 1.5
    take_counts(through_json(counts_to_list(counts)), found)
    assert counts_to_list(found) == counts_to_list(counts)


@pytest.mark.parametrize(
    "data", [[], [1], ["a"] * 9, None, [0] * 10, [None] * 9, [-1] * 9, [10**20] * 9]
)
def test_counts_that_are_none(data: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        take_counts(data, Counts())
