from clients.python.ledger import Ledger
from clients.python.pictures import Frame

FRAME = Frame(b"picture")


def test_a_frame_is_open_until_it_is_answered() -> None:
    ledger = Ledger()
    assert [ledger.send(FRAME, 10.0), ledger.send(FRAME, 11.0)] == [0, 1]
    assert ledger.unanswered == 2
    assert not ledger.answered_once
    sent = ledger.mask(1)
    assert sent is not None
    assert (sent.frame, sent.at) == (FRAME, 11.0)
    ledger.fail(0)
    assert (ledger.sent, ledger.masks, ledger.failed, ledger.unanswered) == (2, 1, 1, 0)
    assert ledger.answered_once


def test_losses_are_counted_by_cause() -> None:
    ledger = Ledger()
    for _ in range(3):
        ledger.send(FRAME, 0.0)
    ledger.drop([0, 1], "newer")
    ledger.drop([2], "stale")
    assert ledger.dropped == {"newer": 2, "stale": 1}
    assert ledger.answered_once


def test_a_second_answer_is_no_answer() -> None:
    ledger = Ledger()
    ledger.send(FRAME, 0.0)
    ledger.mask(0)
    assert ledger.mask(0) is None
    ledger.drop([0], "newer")
    ledger.fail(0)
    assert (ledger.masks, ledger.dropped.total(), ledger.failed, ledger.doubled) == (1, 0, 0, 3)
    assert not ledger.answered_once


def test_an_answer_to_a_frame_never_sent_is_distinguished() -> None:
    ledger = Ledger()
    assert ledger.mask(0) is None
    assert (ledger.unknown, ledger.doubled) == (1, 0)
    assert not ledger.answered_once


def test_it_reports_its_state() -> None:
    ledger = Ledger()
    ledger.send(FRAME, 0.0)
    assert repr(ledger) == "<Ledger sent=1 masks=0 dropped=0 failed=0 unanswered=1>"
