"""Real Ray on this machine: nodes as processes, and commands against them.

Ray reads its settings when it is imported, so nothing here imports it before it is used.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ports import free_port

from launcher.__main__ import main
from launcher.ray_settings import SETTINGS

ROOT = Path(__file__).parents[2]
STARTED = "will now block forever"

Report = dict[str, Any]


def until(reached: Callable[[], Any], what: str, seconds: float = 90) -> Any:
    end = time.monotonic() + seconds
    while not (found := reached()):
        assert time.monotonic() < end, what
        time.sleep(0.1)
    return found


def runs(pid: int) -> bool:
    """Return whether the process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def ray_node(folder: Path, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``mastream cluster node`` until the block ends."""
    folder.mkdir(parents=True)
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "launcher", "node", "--ip", "127.0.0.1", *flags],
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
    try:

        def has_started() -> bool:
            assert process.poll() is None, log.read_text()
            return STARTED in log.read_text()

        until(has_started, "Ray did not start")
        yield process
    finally:
        process.terminate()
        process.wait(60)


@dataclass(frozen=True)
class Ray:
    """The head's address, and a folder for the servers of one test."""

    address: str
    folder: Path

    def command(self, action: str, *arguments: str) -> int:
        return main([action, "--address", self.address, *arguments])

    def up(self, count: int, *flags: str) -> None:
        ports = f"{free_port()}-65535"
        data = str(self.folder)
        assert self.command("up", "-n", str(count), "--data", data, "--ports", ports, *flags) == 0

    def until(
        self, reached: Callable[[dict[str, Report | None]], Any], what: str
    ) -> dict[str, Report]:
        """Wait until the agents' reports fulfil the condition; return them."""
        from launcher import fleet  # noqa: PLC0415  after the settings that Ray reads
        from launcher.member import as_json  # noqa: PLC0415

        with fleet.connected(self.address):
            last: dict[str, Any] = {}

            def look() -> bool:
                last.clear()
                last.update(json.loads(as_json(fleet.members())))
                return bool(reached(last))

            until(look, what)
        return last


FAKE = ("--", "--engine", "fake")


def all_serve(count: int) -> Callable[[dict[str, Report | None]], bool]:
    """Return whether there are this many agents, all with a server that is ready."""
    return lambda found: (
        len(found) == count and all(one and one["state"] == "serving" for one in found.values())
    )


@contextmanager
def ray_settings() -> Iterator[None]:
    """The environment of all commands, before one of them imports Ray."""
    with pytest.MonkeyPatch.context() as patch:
        for one in SETTINGS:
            patch.setenv(one.name, one.value)
        patch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef" * 2)
        yield


def process_of(node: subprocess.Popen[bytes], program: str) -> int:
    """Return the id of one of a node's own processes: gcs_server or raylet."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")[0].decode()
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError):
            continue
        if Path(command).name == program and parent == node.pid:
            return int(entry.name)
    raise AssertionError(f"node {node.pid} has no {program}")
