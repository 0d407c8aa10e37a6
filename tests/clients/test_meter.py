import pytest

from clients.python.ledger import Ledger
from clients.python.meter import Meter
from clients.python.pictures import Frame


def test_the_rate_is_that_of_the_last_two_seconds() -> None:
    meter = Meter()
    assert meter.rate(0.0) == 0.0
    for tick in range(21):
        meter.add(tick / 10, 0.04)
    assert meter.rate(2.0) == pytest.approx(10, abs=1)
    assert meter.rate(3.0) == pytest.approx(5, abs=1)
    assert meter.rate(9.0) == 0.0


def test_latency_is_the_median_of_late() -> None:
    meter = Meter()
    assert meter.latency() == 0.0
    for now, trip in ((0.0, 9.0), (5.0, 0.1), (5.1, 0.3), (5.2, 0.2)):
        meter.add(now, trip)
    assert meter.latency() == 0.2


def test_the_line_reports_what_is_lost() -> None:
    meter, ledger = Meter(), Ledger()
    for _ in range(5):
        ledger.send(Frame(b""), 0.0)
    ledger.mask(0)
    meter.add(1.0, 0.025)
    assert meter.line(1.0, ledger) == "  0.0 frames/s   latency 25 ms   1 masks   dropped 0"
    ledger.drop([1, 2], "newer")
    ledger.fail(3)
    line = meter.line(1.5, ledger, skipped=7)
    assert line.endswith("dropped 2 (newer 2)   failed 1   skipped 7")
