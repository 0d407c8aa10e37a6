"""The eight stages of a frame follow each other from its arrival to its answer."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from server.frame import Frame, Mask
from server.telemetry.stages import STAGES, stages

PIXELS = np.zeros((2, 2, 3), np.uint8)


def answered(frame: Frame) -> Mask:
    return Mask(PIXELS[..., 0], frame, step=(10.5, 10.6, 10.9))


def test_each_stage_begins_where_the_one_before_it_ends() -> None:
    mask = answered(Frame(PIXELS, 1, arrived=10.0, wait=0.1, decode=0.2))
    found = stages(mask, 11.0, 11.3, 11.4)
    assert [one.name for one in found] == list(STAGES)
    assert all(before.ended == after.began for before, after in pairwise(found))
    assert (found[0].began, found[-1].ended) == (10.0, 11.4)
    seconds = [one.ended - one.began for one in found]
    assert seconds == pytest.approx([0.1, 0.2, 0.2, 0.1, 0.3, 0.1, 0.3, 0.1])


def test_a_stage_that_was_skipped_has_no_length() -> None:
    found = stages(answered(Frame(PIXELS, 1, arrived=10.5)), 10.9, 10.9, 11.0)
    lengths = {one.name: round(one.ended - one.began, 6) for one in found}
    assert lengths == {
        "wait": 0, "decode": 0, "queue": 0, "gather": 0.1, "step": 0.3, "scatter": 0, "encode": 0,
        "send": 0.1,
    }  # fmt: skip


def test_clocks_that_disagree_never_give_a_negative_length() -> None:
    found = stages(answered(Frame(PIXELS, 1, arrived=10.0, wait=3.0)), 11.0, 11.3, 11.4)
    assert all(one.ended >= one.began for one in found)
