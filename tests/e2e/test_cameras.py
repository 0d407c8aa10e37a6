"""The command and the client against a real server that plays a film as a camera."""

from __future__ import annotations

import subprocess
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from clients.python import Cameras, NotFound

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]


def make_film(path: Path) -> None:
    """Write two seconds of grey pictures of 96x72 at 25 frames/s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 72, "yuv420p"
        for index in range(50):
            grey = np.full((72, 96, 3), 60 + index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())


def mastream(*argv: str) -> str:
    """Run the command and return what it prints."""
    command = [sys.executable, "-m", "clients.python.cli", "cameras", *argv]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


async def test_a_camera_from_its_first_mask_to_its_removal(run_server: Any, tmp_path: Path) -> None:
    make_film(tmp_path / "film.mp4")
    overlay = tmp_path / "overlay.mp4"
    with run_server(live__files=str(tmp_path)) as server:
        url = ("--url", server.http)
        added = mastream("add", "film", "file:///film.mp4", "--loop", *url)
        assert added.startswith("film is ")
        async with Cameras(server.http) as cameras:
            await watch(cameras)
            watched = mastream("watch", "film", "--overlay", str(overlay), "--seconds", "2", *url)
            assert watched.endswith(f" masks -> {overlay}\n")
            assert "live" in mastream("list", *url)
            assert mastream("pause", "film", *url) == "film is paused.\n"
            assert (await cameras.get("film")).state == "paused"
            mastream("resume", "film", *url)
            assert mastream("remove", "film", *url) == "film was removed.\n"
            with pytest.raises(NotFound, match="no stream 'film'"):
                await anext(cameras.watch("film"))
    with av.open(str(overlay)) as container:
        (stream,) = container.streams.video
        assert (stream.width, stream.height) == (96, 72)


async def watch(cameras: Cameras) -> None:
    seqs = []
    async with aclosing(cameras.watch("film", overlay=True)) as masks:
        async for mask in masks:
            assert mask.labels is not None and mask.labels.shape == (72, 96)
            assert mask.overlay.startswith(b"\xff\xd8")
            seqs.append(mask.seq)
            if len(seqs) == 3:
                break
    assert seqs == sorted(set(seqs))
    assert (await cameras.snapshot("film")).startswith(b"\xff\xd8")
    async with aclosing(cameras.events("film")) as events:
        event = await anext(events)
    assert (event.id, event.kind, event.data["state"]) == (1, "state", "connecting")
    (film,) = await cameras.list()
    assert (film.name, film.url, film.width, film.height) == ("film", "file:///film.mp4", 96, 72)
