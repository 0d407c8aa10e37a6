from collections import Counter
from typing import Any

from rich.console import Console

from clients.python.ledger import Ledger
from clients.python.load import LoadResult, Plan, StreamResult
from clients.python.measures import STAGES, Outcome, Times
from clients.python.tables import load_tables, outcome_table, times_table


def shown(what: Any) -> str:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def test_times_have_a_row_for_each_stage() -> None:
    times = Times({stage: [float(index)] for index, stage in enumerate(STAGES)})
    text = shown(times_table(times))
    assert all(stage.replace("_", " ") in text for stage in STAGES)
    assert "7.00" in text


def test_what_did_not_happen_is_left_out_save_what_must_be_nought() -> None:
    text = shown(outcome_table(Outcome(sent=9, masks=6, dropped=Counter(newer=3))))
    assert "dropped: newer" in text
    assert "unanswered" in text
    assert "failed" not in text
    assert "held back" not in text


def test_a_load_reports_rates_and_failures() -> None:
    plan = Plan("http://h", 2, 30.0, 1.0, [b""])
    streams = [StreamResult(Ledger(), error="the server was lost") for _ in range(2)]
    text = shown(load_tables(LoadResult(plan, 2.0, streams)))
    assert "2 streams at 30 frames/s" in text
    assert text.count("the server was lost") == 1
    assert "held back here" in text
