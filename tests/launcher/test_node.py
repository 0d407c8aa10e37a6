"""Which ``ray start`` a machine runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from launcher import node
from launcher.arguments import parse
from launcher.errors import NoRay


def test_the_head_has_no_dashboard_and_one_resource_per_engine() -> None:
    given = node.node_arguments(parse(["node", "--engines", "2", "--ip", "10.0.0.1", "--", "-v"]))
    assert given == [
        "start",
        "--block",
        "--head",
        "--port=6379",
        "--node-ip-address=10.0.0.1",
        "--include-dashboard=false",
        "--object-store-memory=80000000",
        '--resources={"engine": 2}',
        "-v",
    ]


def test_a_machine_without_engines_offers_none() -> None:
    given = node.node_arguments(parse(["node", "--engines", "0"]))
    assert not any("resources" in one for one in given)


def test_another_machine_joins_the_head() -> None:
    given = node.node_arguments(parse(["node", "--join", "10.0.0.1:6379"]))
    assert given[:4] == ["start", "--block", "--address", "10.0.0.1:6379"]
    assert not any("dashboard" in one or "--port" in one for one in given)


def test_this_process_becomes_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ray").touch()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    calls: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(os, "execv", lambda *call: calls.append(call))
    node.run_node(parse(["node"]))
    ((program, arguments),) = calls
    assert program == arguments[0] == str(tmp_path / "ray")
    assert arguments[1] == "start"


def test_without_ray_the_message_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoRay, match=r"pip install 'mastream\[ray\]'"):
        node.ray_program()
