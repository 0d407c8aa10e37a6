"""`mastream cluster status --url`: what a server reports, as tables, without Ray."""

from __future__ import annotations

import builtins
import json
from typing import Any

import httpx
import pytest

from launcher import reported
from launcher.__main__ import main
from launcher.errors import NoServer

A, B = "a" * 32, "b" * 32


def server(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "url": f"http://{name[0]}:8000",
        "node": f"node-{name[0]}",
        "model": "fake",
        "sessions": 3,
        "room": 61,
        "draining": False,
        "streams": 1,
        "lasts": 3.5,
        "is_this": name == A,
    } | changes


FOUND = {
    "servers": [server(A), server(B, draining=True, url=None)],
    "streams": [
        {"name": "gate", "state": "held", "server": A, "url": None, "lasts": 2.4},
        {"name": "yard", "state": "elsewhere", "server": B, "url": "http://b:8000", "lasts": 1.0},
        {"name": "roof", "state": "free", "server": "c" * 32, "url": None, "lasts": None},
    ],
    "changes": [
        {"at": 3600.0, "kind": "server", "name": "c" * 32, "now": "gone", "server": None},
        {"at": 3601.0, "kind": "stream", "name": "gate", "now": "held", "server": A},
    ],
}


def answering(status: int, content: str) -> httpx.MockTransport:
    return httpx.MockTransport(lambda _: httpx.Response(status, text=content))


def test_the_tables_name_servers_by_machine_and_name() -> None:
    first, second, third = (part.splitlines() for part in reported.as_text(FOUND).split("\n\n"))
    assert [line.split() for line in first[1:]] == [
        ["node-a/aaaaaaaa", "alive", "3", "61", "1", "3.5", "s", "fake", "http://a:8000"],
        ["node-b/bbbbbbbb", "draining", "3", "61", "1", "3.5", "s", "fake"],
    ]
    assert [line.split() for line in second[1:]] == [
        ["gate", "held", "node-a/aaaaaaaa", "2.4", "s"],
        ["yard", "held", "node-b/bbbbbbbb", "1", "s"],
        ["roof", "free"],
    ]
    assert [line.split()[1:] for line in third[1:]] == [
        ["server", "cccccccc", "gone"],
        ["stream", "gate", "held", "node-a/aaaaaaaa"],
    ]


def test_without_streams_and_changes_there_are_only_servers() -> None:
    assert "\n\n" not in reported.as_text(FOUND | {"streams": [], "changes": []})


def test_the_key_of_the_environment_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTREAM_KEY", "k")

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer k"
        assert str(request.url) == "http://a:8000/v1/cluster"
        return httpx.Response(200, json=FOUND)

    assert reported.ask("http://a:8000/", httpx.MockTransport(answer)) == FOUND


@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (401, json.dumps({"detail": "Send a key."}), "refuses: Send a key."),
        (502, "<html>", "refuses: status 502."),
        (200, "<html>", "not a mastream server"),
        (200, json.dumps({"servers": []}), "not a mastream server"),
    ],
)
def test_what_went_wrong_is_said(status: int, content: str, message: str) -> None:
    with pytest.raises(NoServer, match=message):
        reported.ask("http://a:8000", answering(status, content))


def test_the_command_needs_no_ray_and_no_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = builtins.__import__

    def without_ray(name: str, *args: Any, **kwargs: Any) -> Any:
        assert name.partition(".")[0] != "ray"
        return whole(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_ray)
    monkeypatch.setattr(reported, "ask", lambda url: FOUND if url == "http://a:8000" else None)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/nowhere")
    assert main(["status", "--url", "http://a:8000"]) == 0
    assert capsys.readouterr().out.startswith("SERVER")
    assert main(["status", "--url", "http://a:8000", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == FOUND


def test_where_nothing_listens_the_command_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--url", "http://127.0.0.1:1"]) == 1
    assert capsys.readouterr().err.startswith("mastream: No server answers at http://127.0.0.1:1")
