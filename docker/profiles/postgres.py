"""The profile `postgres`: the list of videos is in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import probe
from default import check_results, keeps_its_results, works
from probe import check
from project import Project, status, until

PASSWORD = "it's @ secret/"  # characters that would end a URL or a shell's word too early


def shows(project: Project) -> Iterator[str]:
    project = project.using("postgres", MASTREAM_POSTGRES_PASSWORD=PASSWORD)
    project.up()
    project.wait_healthy("postgres", "mastream")
    yield from works(project.url())
    yield has_the_rows(project)
    yield from keeps_its_results(project)
    yield does_without(project)


def has_the_rows(project: Project) -> str:
    check(query(project, "mastream", "SELECT count(*) FROM videos") == "1", "no row in PostgreSQL")
    check(query(project, "mastream_gpu", "SELECT 1") == "1", "the second service has no database")
    return "the row of the video is in PostgreSQL"


def query(project: Project, database: str, statement: str) -> str:
    """Return what `psql` in the container prints."""
    psql = ("psql", "--username=mastream", f"--dbname={database}", "--tuples-only", "--no-align")
    return project.run("exec", "--no-TTY", "postgres", *psql, f"--command={statement}").strip()


def does_without(project: Project) -> str:
    """Check what is still served while PostgreSQL is stopped, and that everything is served once it
    runs again."""
    url = project.url()
    project.run("stop", "postgres")
    until(lambda: status(f"{url}/health/ready") == 503, lambda: "it stays ready without PostgreSQL")
    check(status(f"{url}/health/live") == 200, "it is not live without PostgreSQL")
    check(status(f"{url}/v1/videos") == 503, "/v1/videos does not answer 503")
    asyncio.run(probe.stream_frames(url))
    project.run("start", "postgres")
    until(lambda: status(f"{url}/health/ready") == 200, lambda: "it does not become ready again")
    check_results(url)
    return (
        "PostgreSQL stopped: ready 503, streams continue; started: ready 200, the results are there"
    )
