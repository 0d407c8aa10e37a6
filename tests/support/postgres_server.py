"""A PostgreSQL server for the tests that run, and databases that are empty."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql

from server.database.connection import sqlite_url


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server in ``folder``, reached only by its socket there; it never runs as
    root."""

    programs: Path
    folder: Path

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://mastream@/postgres?host={self.folder}"

    def empty(self) -> str:
        """Remove every table; return the URL."""
        self._execute("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
        return self.url

    def add(self, name: str) -> str:
        """Make another database; return its URL."""
        self._execute(f"CREATE DATABASE {name}")
        return self.url.replace("/postgres?", f"/{name}?")

    def make(self) -> None:
        self._run("initdb", "--auth=trust", "--no-sync", "--username=mastream")

    def start(self) -> None:
        sockets = f"-c listen_addresses= -c unix_socket_directories={self.folder} -c fsync=off"
        log = str(self.folder / "log")
        self._run("pg_ctl", "start", "--wait", f"--log={log}", f"--options={sockets}")

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "--wait", "--mode=fast")

    def kill(self) -> None:
        """Kill all its processes at once, as a loss of power would; return when they are gone."""
        main = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        killed = [main, *_children(main)]
        for process in killed:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        while any(_runs(process) for process in killed):
            time.sleep(0.01)
        # Where nothing reaps zombies, PostgreSQL takes the dead one for a server that runs.
        for lock in (self.folder / "data" / "postmaster.pid", *self.folder.glob(".s.PGSQL.*")):
            lock.unlink()

    def _execute(self, *statements: str) -> None:
        engine = sql.create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(sql.text(statement))
        engine.dispose()

    def _run(self, program: str, *arguments: str) -> None:
        command = [self.programs / program, f"--pgdata={self.folder / 'data'}", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120, **_not_root())


def _children(parent: int) -> list[int]:
    lists = Path(f"/proc/{parent}/task").glob("*/children")
    return [int(child) for found in lists for child in found.read_text().split()]


def _runs(process: int) -> bool:
    """Return whether a process has memory and files; a zombie has none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _not_root() -> dict[str, Any]:
    """PostgreSQL refuses to be run by root."""
    if os.geteuid() != 0:
        return {"cwd": "/"}
    return {"cwd": "/", "user": "nobody", "group": "nogroup", "extra_groups": []}


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL; the test is skipped, with the reason, if none is installed."""
    # Debian keeps the server's programs off the PATH.
    found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb"), shutil.which("initdb")]
    if found[0] is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="no psycopg: pip install mastream[cluster]")
    # A socket's path must be short and every folder above it nobody's to enter: not tmp_path.
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as folder:
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody", "nogroup")
        running = Postgres(Path(found[0]).resolve().parent, Path(folder))
        running.make()
        running.start()
        yield running
        running.stop()


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """An empty database of PostgreSQL."""
    return postgres.empty()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "videos.db")
    found: str = request.getfixturevalue("postgres_url")
    return found
