"""docker-compose.yml as its users run it, by Docker Compose, under a name and ports of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import httpx
from engine import Container, Engine
from probe import Broken, check

NAME = "mastream-check"
PATIENCE = 180.0
HEALTH_SECONDS = 10.0  # as in docker-compose.yml: one that fails too often is "unhealthy"
POLL_SECONDS = 0.2
PORTS = {
    "mastream": "MASTREAM_PORT",
    "entry": "MASTREAM_ENTRY_PORT",
    "prometheus": "MASTREAM_PROMETHEUS_PORT",
    "camera": "MASTREAM_CAMERA_PORT",
    "hls": "MASTREAM_HLS_PORT",
    "webrtc": "MASTREAM_WEBRTC_PORT",
}
"""The variable that chooses the published port of each service."""


@dataclass(frozen=True)
class Project:
    compose: str
    engine: Engine
    settings: Mapping[str, str]
    profiles: tuple[str, ...] = ()

    def using(self, *profiles: str, **settings: str) -> Project:
        """Return the same project with these profiles and variables."""
        return replace(self, profiles=profiles, settings={**self.settings, **settings})

    def up(self, *words: str) -> None:
        self.run("up", "--detach", "--no-build", *words)

    def down(self) -> None:
        """Remove everything, volumes too; fail if something is left."""
        self.using("*").run("down", "--volumes")
        check(not self.engine.left(), f"`down` left {', '.join(self.engine.left())}")

    def run(self, *words: str) -> str:
        """Run a command of Docker Compose; return what it prints."""
        profiles = [word for one in self.profiles for word in ("--profile", one)]
        command = [self.compose, "--project-name", NAME, "--env-file", os.devnull, *profiles]
        done = subprocess.run(
            [*command, *words],
            env=os.environ | self.settings,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * PATIENCE,
        )
        ending = "\n".join(done.stderr.splitlines()[-8:])
        check(done.returncode == 0, f"`docker compose {' '.join(words)}` failed: {ending}")
        return done.stdout

    def url(self, service: str = "mastream") -> str:
        """Return the address at which a service is published."""
        return f"http://127.0.0.1:{self.settings[PORTS[service]]}"

    def log(self, service: str) -> str:
        return self.run("logs", "--no-log-prefix", service)

    def wait_healthy(self, *services: str) -> None:
        for service in services:
            self._wait_healthy(service)

    def _wait_healthy(self, service: str) -> None:
        until(
            lambda: healthy(self.engine.containers(service)),
            lambda: f"{service} is not healthy: {self.log(service)[-1500:]}",
        )


def healthy(containers: list[Container]) -> bool:
    return bool(containers) and all(one.health == "healthy" for one in containers)


def until(holds: Callable[[], object], otherwise: Callable[[], str]) -> None:
    """Wait until a condition holds; raise Broken with the reason if it does not in time."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise Broken(otherwise())
        time.sleep(POLL_SECONDS)


def status(url: str) -> int:
    """Return the status of the answer; 0 if there is none."""
    try:
        return httpx.get(url, timeout=10).status_code
    except httpx.HTTPError:
        return 0


def fetch(url: str) -> Any:
    """Return the JSON at this address."""
    return httpx.get(url, timeout=30).raise_for_status().json()


def free_ports() -> dict[str, str]:
    """Return a free port for each variable of PORTS."""
    listening = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    ports = [str(one.getsockname()[1]) for one in listening]
    for one in listening:
        one.close()
    return dict(zip(PORTS.values(), ports, strict=True))


@contextmanager
def health_checked(engine: Engine) -> Iterator[None]:
    """Check repeatedly the health of containers that are not healthy yet; Docker does so itself,
    podman does not."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(HEALTH_SECONDS):
            with suppress(httpx.HTTPError):  # podman fails if a container is removed meanwhile
                for container in engine.containers():
                    if container.running and container.health not in ("", "healthy"):
                        engine.check_health(container)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
