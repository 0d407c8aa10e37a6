"""How agents are named and shown."""

from __future__ import annotations

import json

from launcher.agent import Report
from launcher.member import Member, as_json, as_table
from launcher.supervision import State

REPORT = Report(1, State.BACKING_OFF, False, 2, "gpu-a", "c0ffee", None, 11, None, 1)
CRASHING = Member("mastream-agent-1", REPORT)
LOST = Member("mastream-agent-2", None)


def test_an_agent_is_meant_by_its_name_or_its_machines() -> None:
    assert all(CRASHING.is_meant_by(name) for name in ("mastream-agent-1", "gpu-a", "c0ffee"))
    assert not any(CRASHING.is_meant_by(name) for name in ("mastream-agent-2", "gpu", ""))
    assert LOST.is_meant_by("mastream-agent-2") and not LOST.is_meant_by("gpu-a")


def test_the_table_says_what_is_wrong() -> None:
    headings, crashing, lost = as_table([CRASHING, LOST]).splitlines()
    assert headings.split() == [
        "AGENT",
        "STATE",
        "READY",
        "FAILURES",
        "NODE",
        "URL",
        "PID",
        "TROUBLE",
    ]
    assert crashing.split()[:5] == ["mastream-agent-1", "backing_off", "no", "2", "gpu-a"]
    assert crashing.endswith("the last server ended with status 1")
    assert lost.endswith("no answer: it waits for a free engine, or is being restarted")


def test_without_agents_it_says_how_to_start_some() -> None:
    assert as_table([]) == "No agents: start some with `mastream cluster up -n N`."


def test_json_has_the_reports_by_name() -> None:
    found = json.loads(as_json([CRASHING, LOST]))
    assert found["mastream-agent-1"]["state"] == "backing_off"
    assert found["mastream-agent-1"]["node_id"] == "c0ffee"
    assert found["mastream-agent-2"] is None
