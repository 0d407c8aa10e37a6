"""`docker compose up`: one server on the CPU, its files in volumes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import probe
from probe import check
from project import Project, fetch, status


def shows(project: Project) -> Iterator[str]:
    project.up()
    project.wait_healthy("mastream")
    told = f"ready at {project.url()} "
    check(told in project.log("mastream"), "the log does not say where the service is published")
    yield from works(project.url())
    yield probe.count_frames(project.url())
    yield from keeps_its_results(project)


def works(url: str) -> Iterator[str]:
    """Show that a stream and an upload are served."""
    yield asyncio.run(probe.stream_frames(url))
    with TemporaryDirectory() as folder:
        yield asyncio.run(probe.upload_video(url, Path(folder)))


def keeps_its_results(project: Project) -> Iterator[str]:
    project.run("stop")
    project.run("start")
    project.wait_healthy("mastream")
    check_results(project.url())
    yield "stopped and started: the results are there"


def check_results(url: str) -> None:
    """Check that the uploaded video is still there, with its masks."""
    (video,) = fetch(f"{url}/v1/videos")["videos"]
    check(video["state"] == "succeeded", f"the video {video['state']}")
    check(status(f"{url}/v1/videos/{video['id']}/masks.mkv") == 200, "its masks are gone")
