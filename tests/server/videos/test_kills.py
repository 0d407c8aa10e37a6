"""A video whose server is killed again and again gives the results of an undisturbed run."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from job_process import running, write_clip
from postgres_server import Postgres

from server.database.connection import sqlite_url
from server.sinks.recorder import ARTEFACTS

pytestmark = pytest.mark.timeout(900)

FRAMES = 500
KILLS = 20

DEAD_SECONDS = 3.0
"""Many times longer than the pause before a database is asked again."""


def finished(folder: Path, url: str, clip: Path, *, faulty: bool = False) -> Path:
    """Run to the end; return the folder of the results."""
    with running(folder, url, clip, faulty=faulty) as said:
        *_, last = said
    return results_of(folder, last)


def results_of(folder: Path, last: str) -> Path:
    """Return the folder of the results; the last line must say that the video has succeeded."""
    assert last == "succeeded None"
    (results,) = (folder / "videos").glob("*/results.e*")
    assert not list((folder / "videos").glob("*/pieces"))
    return results


def contents(results: Path) -> dict[str, Any]:
    """Return the bytes of every artefact, and of the summary all but its measured times."""
    found: dict[str, Any] = {path.name: path.read_bytes() for path in results.iterdir()}
    assert set(found) == set(ARTEFACTS)
    found["summary.json"] = json.loads(found["summary.json"])
    del found["summary.json"]["timing"]
    return found


@dataclass(frozen=True)
class Undisturbed:
    """A clip, and the folder of the results of one run to its end."""

    clip: Path
    results: Path

    def check(self, results: Path) -> None:
        """Fail unless other results of the clip are the same, byte for byte."""
        found, expected = contents(results), contents(self.results)
        for name in ARTEFACTS:
            assert found[name] == expected[name], name


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    clip = write_clip(folder / "clip.mp4", FRAMES)
    return Undisturbed(clip, finished(folder, sqlite_url(folder / "videos.db"), clip))


@pytest.fixture
def chance() -> random.Random:
    """A random generator whose seed is printed if the test fails."""
    seed = random.randrange(2**32)
    print("seed", seed)
    return random.Random(seed)


def test_kills_dying_engines_and_full_disks_change_nothing(
    tmp_path: Path, undisturbed: Undisturbed, chance: random.Random
) -> None:
    clip, url = undisturbed.clip, sqlite_url(tmp_path / "videos.db")
    for _ in range(KILLS):
        steps = chance.randrange(1, 30)
        with running(tmp_path, url, clip, faulty=True, steps=steps) as said:
            assert "succeeded None" not in list(said), "it is killed too late"
    undisturbed.check(finished(tmp_path, url, clip, faulty=True))


def test_a_database_that_is_stopped_and_killed_servers_change_nothing(
    tmp_path: Path, undisturbed: Undisturbed, postgres: Postgres
) -> None:
    clip, url = undisturbed.clip, postgres.add("stopped")
    for steps in (15, 25):
        with running(tmp_path, url, clip, steps=steps) as said:
            next(said)
            postgres.stop()
            postgres.start()
            assert "succeeded None" not in list(said), "it is killed too late"
    undisturbed.check(finished(tmp_path, url, clip))


def test_a_job_continues_by_itself_when_its_database_was_killed(
    tmp_path: Path, undisturbed: Undisturbed, postgres: Postgres, chance: random.Random
) -> None:
    with running(tmp_path, postgres.add("killed"), undisturbed.clip) as said:
        for dead in (0.0, 0.0, DEAD_SECONDS, 0.0, 0.0):
            seen = list(islice(said, chance.randrange(1, 20)))
            assert seen and not seen[-1].startswith("succeeded"), "it is killed too late"
            postgres.kill()
            time.sleep(dead)
            postgres.start()
        *_, last = said
    undisturbed.check(results_of(tmp_path, last))
