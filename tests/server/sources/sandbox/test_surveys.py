"""Questions about a file: the answers of an honest process, and answers that are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from server.errors import BadVideo
from server.sources.cuts import Cuts, KeyFrame, Uncut, can_seek, read_cuts
from server.sources.probing import VideoLimits, probe
from server.sources.sandbox.messages import NONSENSE
from server.sources.sandbox.surveys import (
    KEYS_OF_A_LINE,
    Order,
    _answers_of,
    answers,
    cuts_of,
    cuts_order,
    found_of,
    info_of,
    probe_order,
    seek_order,
)

Film = Callable[..., Path]

MAX_PIXELS = 2**20
LIMITS = VideoLimits()
KEYS = {"options": {"g": "4", "keyint_min": "4", "sc_threshold": "0"}}

INFO: dict[str, Any] = {
    "width": 64, "height": 48, "frames": 6, "duration": 0.24, "rate": "25", "time_base": "1/12800",
    "rotation": 0, "codec": "h264", "pixel_aspect": "1", "hdr": None,
}  # fmt: skip
CUTS: dict[str, Any] = {"pictures": 6, "keys": 1, "reason": None, "tick": "1/90000"}


def lines(*answer: object) -> list[bytes]:
    return [json.dumps(one).encode() for one in answer]


def answered(order: Order, path: Path) -> list[bytes]:
    """The answer of a process, after JSON in both directions."""
    return lines(*answers(json.loads(json.dumps(order)), path))


def test_a_description_comes_back(film: Film) -> None:
    path = film(configure=lambda stream: stream.set_display_rotation(90))
    assert info_of(answered(probe_order(LIMITS), path), LIMITS) == probe(path, LIMITS)


def test_cuts_come_back(film: Film) -> None:
    path = film(frames=12, **KEYS)
    found = read_cuts(path, Fraction(25), MAX_PIXELS)
    assert len(found.keys) == 3
    assert cuts_of(answered(cuts_order(Fraction(25), MAX_PIXELS), path)) == found


def test_the_reason_for_no_cuts_comes_back(film: Film) -> None:
    path = film("a.webm", codec="libvpx")
    found = cuts_of(answered(cuts_order(None, MAX_PIXELS), path))
    assert found == read_cuts(path, None, MAX_PIXELS) and found.reason is Uncut.CODEC


def test_many_key_frames_come_back_in_several_lines() -> None:
    tick = Fraction(1001, 30000)
    keys = tuple(KeyFrame(n, n, None, n * tick) for n in range(2 * KEYS_OF_A_LINE + 1))
    whole = Cuts(len(keys), keys)
    answers = lines(*_answers_of(whole))
    assert len(answers) == 4 and cuts_of(answers) == whole


def test_whether_reading_can_begin_there_comes_back(film: Film) -> None:
    path = film(frames=12, **KEYS)
    keys = read_cuts(path, None, MAX_PIXELS).keys
    moved = [replace(keys[1], pts=keys[1].pts + 1)]
    for asked in (keys, moved):
        found = found_of(answered(seek_order(asked, MAX_PIXELS), path))
        assert found is can_seek(path, asked, MAX_PIXELS) is (asked is keys)


def test_an_error_is_raised_as_what_it_is(film: Film) -> None:
    path = film()
    path.write_bytes(b"")
    for order, read in (
        (probe_order(LIMITS), lambda lines: info_of(lines, LIMITS)),
        (cuts_order(None, MAX_PIXELS), cuts_of),
        (seek_order([], MAX_PIXELS), found_of),
    ):
        with pytest.raises(BadVideo, match="The file is empty"):
            read(answered(order, path))


@pytest.mark.parametrize(
    "changed",
    [
        {"width": "64"}, {"width": True}, {"width": 0}, {"height": -1}, {"height": 48.0},
        {"width": 65_000, "height": 65_000}, {"width": 10**9, "height": 1}, {"frames": 10**15},
        {"frames": -1}, {"frames": "6"}, {"duration": None}, {"duration": float("inf")},
        {"duration": float("nan")}, {"duration": -1.0}, {"duration": "1"}, {"rate": "0"},
        {"rate": "1/0"}, {"rate": "-25"}, {"rate": 25}, {"rate": "1e999999999"}, {"rate": "25\n"},
        {"rate": "9" * 10_000}, {"time_base": "x"}, {"pixel_aspect": "0"}, {"rotation": 45},
        {"rotation": None}, {"codec": None}, {"codec": "h264\n"}, {"codec": "x" * 65},
        {"hdr": "very"}, {"hdr": []}, {"more": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_description_that_cannot_be_right_is_not_believed(changed: dict[str, Any]) -> None:
    assert info_of(lines({"info": INFO}), LIMITS).codec == "h264"
    with pytest.raises(NONSENSE):
        info_of(lines({"info": {**INFO, **changed}}), LIMITS)


@pytest.mark.parametrize(
    ("changed", "keys"),
    [
        ({"keys": 2}, [[0, 0, 0]]),
        ({"keys": 2}, [[0, 9, 0], [1, 3, 0]]),
        ({"keys": 2}, [[0, 0, 0], [0, 3, 0]]),
        ({"keys": 2}, [[0, 0, 0], [6, 9, 0]]),
        ({}, [[1, 0, 0]]),
        ({}, [[0, -1, 0]]),
        ({}, [[0, 2**63, 0]]),
        ({}, [[0, 0.0, 0]]),
        ({}, [[0, 0, "0"]]),
        ({}, [[0, 0]]),
        ({}, [7]),
        ({}, 7),
        ({"tick": "0"}, [[0, 0, 0]]),
        ({"tick": "1e999999999"}, [[0, 0, 0]]),
        ({"reason": "because"}, []),
        ({"reason": "codec"}, [[0, 0, 0]]),
        ({"keys": 0}, []),
        ({"pictures": -1}, [[0, 0, 0]]),
        ({"pictures": None}, [[0, 0, 0]]),
    ],
    ids=str,
)
def test_cuts_that_cannot_be_right_are_not_believed(changed: dict[str, Any], keys: object) -> None:
    assert cuts_of(lines(CUTS, [[0, 0, None]])).pictures == 6
    with pytest.raises(NONSENSE):
        cuts_of(lines({**CUTS, **changed}, keys))


@pytest.mark.parametrize(
    "answer",
    [[], [b""], [b"7"], [b"null"], [b"{}"], [b"["], [b"[" * 100_000], [b'{"error": "unheard of"}'],
     [b'{"error": [], "detail": ""}'], [b"\xff"]],
    ids=lambda answer: repr(answer)[:20],
)  # fmt: skip
def test_what_is_no_answer_is_not_believed(answer: list[bytes]) -> None:
    for read in (lambda lines: info_of(lines, LIMITS), cuts_of, found_of):
        with pytest.raises(NONSENSE):
            read(answer)
