"""A real server in a separate process, with the fake engine unless the flags name another."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
def server_process(data: Path, *flags: str, **settings: str) -> Iterator[RunningServer]:
    """Run a server on a free port; ``settings`` are MASTREAM_ variables in lower case."""
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
        found = re.match(r"mastream is ready at http://(\S+) \(model \S+, engine \S+\)", line)
        assert found, f"not the ready line: {line!r}"
        yield RunningServer(process, found[1])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
