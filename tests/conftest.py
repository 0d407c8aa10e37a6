"""What all tests share: the process that they run in, the real data, a database."""

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

pytest_plugins = ("buckets", "cameras", "recorders", "small_networks", "tensorrt_contract")

ROOT = Path(__file__).resolve().parent.parent

# Torch's threads wait for each other by spinning: more of them than cores slow everything down, in
# the processes that tests start too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Starlette's test client calls every server by this name.
os.environ.setdefault("MASTREAM_SECURITY__HOSTS", '["testserver"]')

# A shell starts what it runs in the background with SIGINT ignored, and so would be the processes
# that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# nohup does the same to SIGHUP: with a handler this process ignores it still, and those do not.
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Tests that are coroutines (``pytest.mark.anyio``) run on asyncio, as server and client do."""
    return "asyncio"


@pytest.fixture(scope="session")
def data() -> Path:
    """The real data's folder; the test is skipped, with the reason, where it is absent."""
    folder = Path(os.environ.get("MASTREAM_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}: set MASTREAM_DATA")
    return folder


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server in ``folder``, reached by its socket there alone; it is never root's."""

    programs: Path
    folder: Path

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://mastream@/postgres?host={self.folder}"

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
    """A running PostgreSQL; the test is skipped, with the reason, where none is installed."""
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
