import os
import sys
from argparse import Namespace

import pytest

from clients.python import serve_command


def test_this_process_becomes_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(os, "execv", lambda *call: calls.append(call))
    serve_command.run(Namespace(), ["--port", "0"])
    assert calls == [
        (sys.executable, [sys.executable, "-m", "server", "serve", "--port", "0"]),
    ]
