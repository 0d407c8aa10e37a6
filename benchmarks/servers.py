"""Servers in separate processes, for benchmarks: mastream, and a bare echo."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

_URL = re.compile(r"http://(\S+)")
_END_SECONDS = 30.0


@contextmanager
def mastream_server(*flags: str, **settings: str) -> Iterator[str]:
    """Yield ``ws://host:port`` of a server with these flags; ``settings`` are MASTREAM_<NAME>."""
    environment = {f"MASTREAM_{name.upper()}": value for name, value in settings.items()}
    with TemporaryDirectory() as data:
        command = ("-m", "server", "serve", "--port", "0", "--data", data, *flags)
        with _running(command, environment) as (url, _):
            yield url


@contextmanager
def soak_server() -> Iterator[tuple[str, int]]:
    """Yield ``ws://host:port`` and the process id of the server for a soak.

    Its log is discarded, because engines die by the hundred.
    """
    with TemporaryDirectory() as data:
        command = ("-m", "benchmarks.soak.server", data)
        with _running(command, {}, subprocess.DEVNULL) as it:
            yield it


@contextmanager
def echo_server() -> Iterator[str]:
    """Yield ``ws://host:port`` of a bare uvicorn that sends every message back."""
    with _running(("-m", "benchmarks.echo"), {}) as (url, _):
        yield url


@contextmanager
def _running(
    command: tuple[str, ...], environment: dict[str, str], errors: int | None = None
) -> Iterator[tuple[str, int]]:
    """Yield the address that the process prints first, and its process id."""
    process = subprocess.Popen(
        (sys.executable, *command),
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env=os.environ | environment,
    )
    assert process.stdout, "stdout is piped"
    try:
        found = _URL.search(process.stdout.readline())
        if not found:
            raise RuntimeError(f"{' '.join(command)} did not start; see above.")
        yield f"ws://{found[1]}", process.pid
    finally:
        process.terminate()
        process.wait(_END_SECONDS)
        process.stdout.close()
