from __future__ import annotations

import pytest

from server.web.transports.allowance import Allowance, small_cost


def test_a_burst_is_free_and_what_is_more_is_owed() -> None:
    allowance = Allowance(10, 5, now=0)
    assert [allowance.spend(1, 0) for _ in range(5)] == [0] * 5
    assert allowance.spend(1, 0) == pytest.approx(0.1)
    assert allowance.spend(2, 0) == pytest.approx(0.3)


def test_time_pays_back_and_saves_up_no_more_than_a_burst() -> None:
    allowance = Allowance(10, 5, now=0)
    allowance.spend(8, 0)
    assert allowance.spend(0, 0.2) == pytest.approx(0.1)
    assert allowance.spend(0, 0.3) == pytest.approx(0)
    assert allowance.spend(6, 100) == pytest.approx(0.1)


def test_a_clock_that_goes_back_earns_nothing() -> None:
    allowance = Allowance(10, 1, now=5)
    assert allowance.spend(2, 4) == pytest.approx(0.1)


@pytest.mark.parametrize(("size", "cost"), [(0, 1), (512, 0.5), (1024, 0), (10**7, 0)])
def test_what_is_large_costs_nothing(size: int, cost: float) -> None:
    assert small_cost(size) == cost
