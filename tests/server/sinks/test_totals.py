"""The sums of a video are those of its pieces."""

from __future__ import annotations

import json

import numpy as np

from protocol import StageTimes
from server.frame import Frame, Losses, Mask, ResetCause
from server.sinks.totals import Totals

PIXELS = np.zeros((1, 1, 3), np.uint8)


def add(totals: Totals, number: int) -> None:
    reset = ResetCause.NEW if number == 0 else None
    times = StageTimes(0.0, 1.0, 2.0 * number, 8.0)
    mask = Mask(PIXELS[..., 0], Frame(PIXELS, number, decoder="cpu"), reset=reset, times=times)
    totals.add(mask, {"road": 0.5} if number % 2 else {"road": 0.25, "sky": 0.75})


def test_merged_totals_are_those_of_all_frames() -> None:
    whole, first, second, merged = Totals(), Totals(), Totals(), Totals()
    for number in range(6):
        add(whole, number)
        add(first if number < 4 else second, number)
    first.note(Losses(undecodable=1))
    second.note(Losses(undecodable=2, missing=1))
    whole.note(Losses(undecodable=3, missing=1))
    for part in (first, second):
        merged.merge(json.loads(json.dumps(part.to_part())))
    assert merged.to_dict() == whole.to_dict()
    assert merged.to_dict() == {
        "totals": {
            "frames": 6,
            "areas": {"road": 0.375, "sky": 0.375},
            "seen": {"road": 6, "sky": 3},
            "decoders": {"cpu": 6},
            "losses": {"undecodable": 3, "damaged": 0, "missing": 1},
        },
        "resets": [{"frame": 0, "cause": "new"}],
        "timing": {
            "wait": {"mean_ms": 0.0, "max_ms": 0.0},
            "decode": {"mean_ms": 1.0, "max_ms": 1.0},
            "queue": {"mean_ms": 5.0, "max_ms": 10.0},
            "step": {"mean_ms": 8.0, "max_ms": 8.0},
        },
    }


def test_no_frame_gives_zeros() -> None:
    assert Totals().to_dict()["totals"]["losses"] == {
        "undecodable": 0,
        "damaged": 0,
        "missing": 0,
    }
