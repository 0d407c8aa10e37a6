import os
import sys
from argparse import Namespace

import pytest

from clients.python import cluster_command
from clients.python.arguments import parse


def test_this_process_becomes_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(os, "execv", lambda *call: calls.append(call))
    cluster_command.run(Namespace(command="cluster"), ["up", "-n", "2"])
    assert calls == [(sys.executable, [sys.executable, "-m", "launcher", "up", "-n", "2"])]


def test_its_arguments_are_left_to_the_launcher() -> None:
    args, rest = parse(["cluster", "drain", "gpu-a", "--seconds", "5"])
    assert (args.command, rest) == ("cluster", ["drain", "gpu-a", "--seconds", "5"])
