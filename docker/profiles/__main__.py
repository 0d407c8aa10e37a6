"""``docker/compose-check`` runs this: ``python docker/profiles SOCKET COMPOSE [PROFILE...]``.

Starts each profile of docker-compose.yml on the engine at SOCKET, checks it as its users would use
it, removes everything and prints a table. Exits with 0, or with 1 and an error.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator

import camera
import cluster
import default
import monitoring
import postgres
from engine import Engine
from probe import Broken
from project import NAME, Project, free_ports, health_checked

CHECKS: dict[str, Callable[[Project], Iterator[str]]] = {
    "default": default.shows,
    "monitoring": monitoring.shows,
    "postgres": postgres.shows,
    "cluster": cluster.shows,
    "camera": camera.shows,
}


def main(socket: str, compose: str, *profiles: str) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the containers are removed first
    engine = Engine(socket, NAME)
    project = Project(compose, engine, free_ports())
    profile = "at the start"
    try:
        project.down()
        with health_checked(engine):
            for profile in profiles or CHECKS:
                for row in rows_of(profile, project):
                    print(row, flush=True)
    except Broken as broken:
        print(f"FAILED: {profile}: {broken}", file=sys.stderr)
        return 1
    return 0


def rows_of(profile: str, project: Project) -> Iterator[str]:
    """Yield a row for each check, with its seconds."""
    began = time.monotonic()
    try:
        for shown in CHECKS[profile](project):
            now = time.monotonic()
            yield f"{profile:10} {now - began:6.1f} s  {shown}"
            began = now
    finally:
        project.down()
    yield f"{profile:10} {time.monotonic() - began:6.1f} s  down: nothing is left"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
