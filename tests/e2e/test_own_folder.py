"""A server that is started on the folder of another one fails to start; the other loses nothing."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from server_process import RunningServer

ROOT = Path(__file__).parents[2]
Run = Callable[..., AbstractContextManager[RunningServer]]


def serve(folder: Path) -> subprocess.CompletedProcess[str]:
    """Start a server on the folder; return how it ended."""
    return subprocess.run(
        [sys.executable, "-m", "server", "--port", "0", "--engine", "fake"],
        cwd=ROOT,
        env=os.environ | {"MASTREAM_FOLDER": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def rows(folder: Path) -> list[Any]:
    """Return the name and epoch of each server, and of each stream with its owner."""
    with closing(sqlite3.connect(folder / "videos.db")) as database:
        return [
            *database.execute("SELECT name, epoch FROM owners"),
            *database.execute("SELECT name, owner, epoch FROM streams"),
        ]


def test_a_second_server_on_the_same_folder_harms_nothing(tmp_path: Path, run_server: Run) -> None:
    folder = tmp_path / "data"
    with run_server() as server:
        added = {"name": "front", "url": "rtsp://127.0.0.1:9/main"}
        httpx.post(f"{server.http}/v1/streams", json=added).raise_for_status()
        before = rows(folder)
        assert len(before) == 2

        refused = serve(folder)

        assert refused.returncode == 1
        assert f"Another server uses {folder}: stop it, or use another folder." in refused.stderr
        assert "Traceback" not in refused.stderr and " serves" not in refused.stderr
        assert rows(folder) == before


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_the_folder_is_free_once_its_server_has_ended(run_server: Run, end: str) -> None:
    with run_server() as first:
        getattr(first.process, end)()
        first.process.wait(60)
        with run_server() as second:
            assert httpx.get(f"{second.http}/health/ready").status_code == 200
