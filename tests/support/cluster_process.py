"""Real servers on one database, each in a separate process."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ports import free_port
from server_process import RunningServer, server_process

from server.sinks.recorder import USUAL

PATIENCE = 40.0


class Cluster:
    """Servers by name, each with its folder, its lasting port and a part in one folder of videos;
    ``settings`` are those of all."""

    def __init__(self, folder: Path, database: str, **settings: str) -> None:
        self.folder, self.database = folder, database
        self.servers: dict[str, RunningServer] = {}
        self.settings = settings
        self._ports: dict[str, int] = {}
        self._stack = ExitStack()

    def start(self, name: str, **settings: str) -> RunningServer:
        port = self._ports.setdefault(name, free_port())
        common = {
            "videos__database": self.database,
            "videos__folder": str(self.folder / "videos"),
            "live__files": str(self.folder),
            "security__secret": "the same for all servers",
            "cluster__advertise": f"http://127.0.0.1:{port}",
            "cluster__node": name,
        }
        self.servers[name] = self._stack.enter_context(
            server_process(
                self.folder / name, "--port", str(port), **common | self.settings | settings
            )
        )
        return self.servers[name]

    def close(self) -> None:
        self._stack.close()


def ask(server: RunningServer, path: str, body: Any = None, method: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    asked = urllib.request.Request(server.http + path, data, headers, method=method)
    with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
        return json.loads(answer.read() or b"null")


async def eventually(find: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Return the first true result."""
    async with asyncio.timeout(seconds):
        while True:
            if found := await asyncio.to_thread(find):
                return found
            await asyncio.sleep(0.05)


async def knows(server: RunningServer, count: int) -> None:
    await eventually(lambda: len(ask(server, "/v1/cluster")["servers"]) == count)


def upload(server: RunningServer, clip: Path) -> str:
    """Queue a video; return its id."""
    path = f"/v1/videos?name=clip.mp4&artefacts={','.join(USUAL)}"
    sent = urllib.request.Request(server.http + path, clip.read_bytes(), method="POST")
    with urllib.request.urlopen(sent, timeout=PATIENCE) as answer:
        video: str = json.loads(answer.read())["id"]
        return video


def state(server: RunningServer, video: str) -> Any:
    return ask(server, f"/v1/videos/{video}")


def far(server: RunningServer, video: str) -> int:
    found: int = state(server, video)["progress"]["frames_done"]
    return found


def has_ended(server: RunningServer, video: str) -> str | None:
    found: str = state(server, video)["state"]
    return found if found not in ("queued", "running") else None


def results(server: RunningServer, video: str) -> dict[str, Any]:
    """The four artefacts byte for byte, but for the measured times in the summary."""
    found: dict[str, Any] = {}
    for name in USUAL:
        with urllib.request.urlopen(f"{server.http}/v1/videos/{video}/{name}") as answer:
            found[name] = answer.read()
    found["summary.json"] = json.loads(found["summary.json"])
    del found["summary.json"]["timing"]
    return found
