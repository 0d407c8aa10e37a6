"""A video whose server is killed again and again gives the results of an undisturbed run."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql
from job_process import write_clip

from server.database.connection import sqlite_url
from server.sinks.recorder import ARTEFACTS

ROOT = Path(__file__).resolve().parents[3]
PROCESS = ROOT / "tests" / "support" / "job_process.py"
FRAMES = 500


def database(postgres: Any, name: str) -> str:
    """Return the URL of a new database."""
    engine = sql.create_engine(postgres.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sql.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    url: str = postgres.url
    return url.replace("/postgres?", f"/{name}?")


@contextmanager
def running(
    folder: Path, url: str, clip: Path, faults: str = "no", steps: int = 0
) -> Iterator[Any]:
    """Yield the lines that the process prints; kill it at the end of the block."""
    command = [sys.executable, str(PROCESS), str(folder), url, str(clip), faults, str(steps)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield map(str.strip, process.stdout)
        finally:
            process.kill()


def finished(folder: Path, url: str, clip: Path, faults: str = "no") -> Path:
    """Run to the end; return the folder of the results."""
    with running(folder, url, clip, faults) as lines:
        *_, last = lines
    assert last == "succeeded None"
    (results,) = (folder / "videos").glob("*/results")
    assert not list((folder / "videos").glob("*/pieces"))
    return results


def contents(results: Path) -> dict[str, Any]:
    """Return the bytes of every artefact, and of the summary all but its measured times."""
    found: dict[str, Any] = {path.name: path.read_bytes() for path in results.iterdir()}
    assert set(found) == set(ARTEFACTS)
    found["summary.json"] = json.loads(found["summary.json"])
    del found["summary.json"]["timing"]
    return found


def assert_undisturbed(results: Path, expected: Path) -> None:
    one, other = contents(results), contents(expected)
    for name in ARTEFACTS:
        assert one[name] == other[name], name


@pytest.mark.timeout(900)
def test_twenty_kills_dying_engines_and_full_disks_change_nothing(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    clip = write_clip(tmp_path / "clip.mp4", FRAMES)
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    for folder in (broken, whole):
        folder.mkdir()
    url = sqlite_url(broken / "videos.db")
    for _ in range(20):
        with running(broken, url, clip, "yes", chance.randrange(1, 30)) as lines:
            assert "succeeded None" not in list(lines), "it is killed too late"
    results = finished(broken, url, clip, "yes")
    assert_undisturbed(results, finished(whole, sqlite_url(whole / "videos.db"), clip))


@pytest.mark.timeout(900)
def test_a_database_that_is_stopped_and_killed_servers_change_nothing(
    tmp_path: Path, postgres: Any
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 200)
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    for folder in (broken, whole):
        folder.mkdir()
    url = database(postgres, "stopped")
    for steps in (15, 25):
        with running(broken, url, clip, steps=steps) as lines:
            next(lines)
            postgres.stop()
            postgres.start()
            list(lines)
    results = finished(broken, url, clip)
    assert_undisturbed(results, finished(whole, sqlite_url(whole / "videos.db"), clip))


DEAD_SECONDS = 12.0
"""Longer than a statement and a connection may take."""


@pytest.mark.timeout(300)
def test_a_job_goes_on_by_itself_when_its_database_was_killed(
    tmp_path: Path, postgres: Any
) -> None:
    chance = random.Random(seed := random.randrange(2**32))
    print("seed", seed)
    clip = write_clip(tmp_path / "clip.mp4", 800)
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    for folder in (broken, whole):
        folder.mkdir()
    with running(broken, database(postgres, "killed"), clip) as lines:
        for dead in (0.0, 0.0, DEAD_SECONDS, 0.0, 0.0):
            seen = list(islice(lines, chance.randrange(1, 20)))
            assert seen and not seen[-1].startswith("succeeded"), "it is killed too late"
            postgres.kill()
            time.sleep(dead)
            postgres.start()
        *_, last = lines
    assert last == "succeeded None"
    (results,) = (broken / "videos").glob("*/results")
    assert_undisturbed(results, finished(whole, sqlite_url(whole / "videos.db"), clip))
