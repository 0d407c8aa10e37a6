"""Real servers, each in a process of its own, with the fake engine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class RunningServer:
    """``http`` and ``ws`` are its addresses, without a trailing slash."""

    process: subprocess.Popen[str]
    address: str

    @property
    def http(self) -> str:
        return f"http://{self.address}"

    @property
    def ws(self) -> str:
        return f"ws://{self.address}"


@contextmanager
def _run(data: Path, *flags: str, **settings: str) -> Iterator[RunningServer]:
    environment = {f"MASTREAM_{name.upper()}": value for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "server", "--port", "0", "--engine", "fake", *flags],
        cwd=ROOT,
        env=os.environ | {"MASTREAM_FOLDER": str(data)} | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        found = re.match(r"mastream is ready at http://(\S+) \(model fake, engine fake\)", line)
        assert found, f"not the ready line: {line!r}"
        yield RunningServer(process, found[1])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def run_server(tmp_path: Path) -> Callable[..., AbstractContextManager[RunningServer]]:
    """Starts a server with settings of its own: ``with run_server(port="0") as server``."""
    return lambda *flags, **settings: _run(tmp_path / "data", *flags, **settings)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for all tests that leave it unharmed; it gives up slow readers after 1 s."""
    limits = {"streams__slow_seconds": "1", "streams__max_message_bytes": "2000000"}
    with _run(tmp_path_factory.mktemp("server"), **limits) as running:
        yield running


@pytest.fixture(scope="module")
def camera_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of small masks that loses patience with cameras within seconds."""
    settings = {
        "engine__fake_height": "48",
        "engine__fake_width": "64",
        "live__connect_seconds": "3",
        "live__stall_seconds": "0.5",
        "live__give_up_seconds": "1.5",
        "live__backoff_seconds": "0.1",
        "live__longest_backoff_seconds": "0.3",
        "live__refused_seconds": "0.5",
    }
    with _run(tmp_path_factory.mktemp("cameras"), **settings) as running:
        yield running
