import os
import sys
from argparse import Namespace

import pytest

from clients.python import serve_command


@pytest.mark.parametrize("command", ["serve", "keys"])
def test_this_process_becomes_the_server(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    calls = []
    monkeypatch.setattr(os, "execv", lambda *call: calls.append(call))
    serve_command.run(Namespace(command=command), ["--port", "0"])
    assert calls == [
        (sys.executable, [sys.executable, "-m", "server", command, "--port", "0"]),
    ]
