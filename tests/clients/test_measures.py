import json

import pytest

from clients.python.ledger import Ledger
from clients.python.mask import Mask
from clients.python.measures import STAGES, Outcome, Times, quantiles
from clients.python.pictures import Frame
from protocol import MaskEncoding, MaskHeader, StageTimes


def mask(round_trip: float, *ms: float) -> Mask:
    header = MaskHeader(seq=0, encoding=MaskEncoding.NONE, width=1, height=1, ms=StageTimes(*ms))
    return Mask(header, None, b"", Frame(b""), round_trip)


def test_a_masks_time_is_reported_by_stage() -> None:
    times = Times()
    times.add(mask(0.020, 1, 2, 3, 4, 5))
    assert [times.samples[stage] for stage in STAGES] == [
        [1], [2], [3], [4], [5], [15], [pytest.approx(5)], [20]
    ]  # fmt: skip


def test_the_network_takes_no_negative_time() -> None:
    times = Times()
    times.add(mask(0.001, 1, 2, 3, 4, 5))
    assert times.samples["network"] == [0]


def test_quantiles() -> None:
    found = quantiles([float(value) for value in range(101)])
    assert found == {"p50": 50, "p95": 95, "p99": 99, "max": 100, "mean": 50}


def test_times_of_several_streams_are_joined() -> None:
    one, other = Times(), Times()
    one.add(mask(0.010))
    other.add(mask(0.030))
    joined = Times().join([one, other])
    assert joined.samples["round_trip"] == [10, 30]
    assert one.samples["round_trip"] == [10]
    assert Times().summary() == {}
    assert joined.summary()["round_trip"]["p50"] == 20


def test_outcomes_add_up() -> None:
    ledgers = [Ledger(), Ledger()]
    for ledger in ledgers:
        for _ in range(4):
            ledger.send(Frame(b""), 0.0)
        ledger.mask(0)
        ledger.drop([1], "newer")
        ledger.fail(2)
    ledgers[0].mask(3)
    ledgers[1].drop([3], "stale")
    outcome = Outcome.of(ledgers)
    assert outcome.to_dict() == {
        "sent": 8,
        "masks": 3,
        "failed": 2,
        "dropped": {"newer": 2, "stale": 1},
        "unanswered": 0,
        "doubled": 0,
        "answered_once": True,
    }
    json.dumps(outcome.to_dict())


def test_unanswered_and_doubled_frames_are_reported() -> None:
    ledger = Ledger()
    ledger.send(Frame(b""), 0.0)
    ledger.mask(7)
    outcome = Outcome.of([ledger])
    assert (outcome.unanswered, outcome.doubled, outcome.answered_once) == (1, 1, False)
