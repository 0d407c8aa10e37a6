"""The profile `cluster`: servers on one PostgreSQL and one volume of videos, behind HAProxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import probe
from default import works
from engine import Container
from monitoring import sees
from postgres import PASSWORD
from probe import HEIGHT, WIDTH, check
from project import Project, fetch, until

from clients.python.client import connect
from clients.python.pattern import pattern_pictures
from clients.python.videos import Videos

SERVERS = 3
FRAMES = 30
VIDEO_FRAMES = 60
PIECE_FRAMES = 20


def shows(project: Project) -> Iterator[str]:
    project = project.using(
        "cluster",
        "monitoring",
        MASTREAM_POSTGRES_PASSWORD=PASSWORD,
        MASTREAM_VIDEOS__PIECE_FRAMES=str(PIECE_FRAMES),
        MASTREAM_ENGINE__THREADS="1",  # all servers share this machine's cores
    )
    scale = ("--scale", f"node={SERVERS}")
    project.up(*scale, "node", "entry", "postgres", "prometheus")
    project.wait_healthy("postgres", "node", "prometheus")
    yield knows(project, SERVERS)
    yield sees(project, "node", SERVERS)
    yield from works(project.url("entry"))
    with TemporaryDirectory() as folder:
        yield asyncio.run(survives_a_stop(project, Path(folder)))


def knows(project: Project, number: int) -> str:
    """Wait until a server, asked through HAProxy, lists ``number`` servers."""
    url = f"{project.url('entry')}/v1/cluster"
    until(
        lambda: len(fetch(url)["servers"]) == number,
        lambda: f"there are not {number} servers: {fetch(url)}",
    )
    return f"HAProxy leads to {number} servers that know each other"


async def survives_a_stop(project: Project, folder: Path) -> str:
    """Stop the server that has the stream, while all of them segment a video."""
    url = project.url("entry")
    clip = folder / "long.mp4"
    probe.write_clip(clip, VIDEO_FRAMES)
    async with Videos(url) as videos:
        video = await videos.upload(clip)
        answers = await stream_while_its_server_stops(project)
        ended = await probe.ended(videos, video)
        check(ended.state == "succeeded", f"the video {ended.state}: {ended.error}")
        masks = folder / "masks.mkv"
        await videos.download(ended.artefacts["masks.mkv"], masks)
        check(probe.length(masks) == VIDEO_FRAMES, "the video does not have all its masks")
    return answers


async def stream_while_its_server_stops(project: Project) -> str:
    """Check that every frame gets its mask although the server that has the stream stops."""
    stopping: asyncio.Task[None] | None = None
    async with connect(project.url("entry"), policy="every") as stream:
        server = server_of(project, stream.ready.session)

        async def pictures() -> AsyncIterator[bytes]:
            nonlocal stopping
            for number, picture in enumerate(pattern_pictures(HEIGHT, WIDTH, FRAMES)):
                if number == FRAMES // 3:
                    stopping = asyncio.create_task(asyncio.to_thread(project.engine.stop, server))
                yield picture

        answered = [mask.seq async for mask in stream.segment(pictures())]
        check(stream.ledger.answered_once, "a frame was not answered, or was answered twice")
    check(answered == list(range(FRAMES)), f"{len(answered)} of {FRAMES} frames have masks")
    assert stopping
    await stopping
    knows(project, SERVERS - 1)
    project.engine.start(server)
    knows(project, SERVERS)
    return f"a server stopped amid {FRAMES} frames and a video of {VIDEO_FRAMES}: all answered"


def server_of(project: Project, session: str) -> Container:
    """Return the server whose log names this session."""
    servers = project.engine.containers("node")
    (found,) = [one for one in servers if session in project.engine.log(one)]
    return found
