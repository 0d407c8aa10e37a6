from __future__ import annotations

import os
import sys

import pytest

from clients.python.cli import main


def test_it_becomes_the_servers_command(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def execv(_: str, command: list[str]) -> None:
        ran.append(command)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "execv", execv)
    main(["replay", "a.mastream", "--engine", "fake", "--model", "m.onnx"])
    main(["replay", "--", "-a"])
    server = [sys.executable, "-m", "server", "replay"]
    assert ran == [
        [*server, "a.mastream", "--engine", "fake", "--model", "m.onnx"],
        [*server, "./-a"],
    ]


def test_wrong_usage_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["replay"])
    assert caught.value.code == 2
    assert "mastream replay: error:" in capsys.readouterr().err
