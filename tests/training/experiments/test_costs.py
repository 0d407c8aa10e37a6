"""Costs counted from the modules, against those that the paper prints."""

from __future__ import annotations

import pytest

from models.build import HEADS
from training.experiments import costs, paper
from training.experiments.cost_sheets import table_4


@pytest.mark.parametrize(("frames", "ratio"), paper.TABLE_4)
def test_the_modules_cost_what_table_4_says(frames: int, ratio: float) -> None:
    cost = costs.memory_cost(frames, ratio)
    printed = paper.TABLE_4[frames, ratio]
    assert cost.counted == pytest.approx(float(printed.added), abs=0.02)
    assert cost.closed_form == pytest.approx(float(printed.added), abs=0.015)
    assert cost.counted == pytest.approx(cost.closed_form, abs=0.001)


def test_what_memory_truly_costs() -> None:
    cost = costs.memory_cost(frames=1, ratio=0.25)
    assert (cost.full, cost.strided) == pytest.approx((8.24, 6.11), abs=0.01)
    # Keys as wide as values: two products of width s instead of s/2 and s.
    attention = costs.ATTENTION_G * 0.25
    assert cost.ours - cost.strided == pytest.approx(attention / 3, abs=0.01)


def test_the_trunk_costs_what_the_paper_says() -> None:
    cost, maps = costs.trunk_maps()
    assert cost == pytest.approx(157.69, abs=0.01)
    assert [tuple(m.shape[1:]) for m in maps][::3] == [(256, 160, 160), (2048, 80, 80)]
    assert costs.trunk_parameters() == 23_527_264


def test_every_head_is_counted() -> None:
    found = {cost.head: cost for cost in costs.head_costs()}
    assert list(found) == list(HEADS)
    assert found["deeplabv3plus"].parameters == pytest.approx(3.19e6, abs=5e3)
    assert found["deeplabv3plus"].cost == pytest.approx(20.1, abs=0.05)


def test_table_4_has_the_papers_costs_and_shares() -> None:
    sheet = table_4()
    assert sheet.columns[:4] == ("T", "r", "paper", "its share")
    assert [row[:4] for row in sheet.rows] == [
        ("1", "0.125", "4.11", "102.59 %"),
        ("1", "0.25", "11.07", "107.08 %"),
        ("1", "0.5", "33.47", "121.13 %"),
        ("2", "0.125", "6.82", "104.43 %"),
        ("2", "0.25", "16.47", "110.38 %"),
        ("2", "0.5", "44.29", "128.03 %"),
        ("3", "0.125", "9.52", "106.01 %"),
        ("3", "0.25", "21.88", "113.8 %"),
        ("3", "0.5", "55.1", "134.8 %"),
    ]
