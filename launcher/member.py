"""An agent as the commands see it, and how they show a list of agents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from launcher.agent import Report
from launcher.reported import table

_HEADINGS = ("AGENT", "STATE", "READY", "FAILURES", "NODE", "URL", "PID", "TROUBLE")


@dataclass(frozen=True, slots=True)
class Member:
    """An agent by name; ``report`` is None if it did not answer: it waits for a free engine, or is
    being restarted."""

    name: str
    report: Report | None

    def is_meant_by(self, target: str) -> bool:
        """Return whether ``target`` is this agent's name, or its machine's name or Ray id."""
        places = (self.report.node, self.report.node_id) if self.report else ()
        return target == self.name or target in places


def as_json(members: Iterable[Member]) -> str:
    """Return a JSON object from names to reports."""
    reports = {one.name: one.report.as_json() if one.report else None for one in members}
    return json.dumps(reports, indent=2)


def as_table(members: Sequence[Member]) -> str:
    """Return one line per agent, below headings."""
    if not members:
        return "No agents: start some with `mastream cluster up -n N`."
    return table(_HEADINGS, [_row(one) for one in members])


def _row(member: Member) -> tuple[str, ...]:
    one = member.report
    if one is None:
        why = "no answer: it waits for a free engine, or is being restarted"
        return (member.name, "unknown", "", "", "", "", "", why)
    ended = f"the last server ended with status {one.exit_code}" if one.failures else ""
    return (
        member.name,
        one.state.value,
        "yes" if one.ready else "no",
        str(one.failures),
        one.node,
        one.url or "",
        str(one.server_pid or ""),
        one.trouble or ended,
    )
