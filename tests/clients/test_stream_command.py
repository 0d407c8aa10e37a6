from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from clients.python.cli import main
from protocol import DropCause, Dropped, DropPolicy, End, Failure, MaskEncoding, MemoryState


@pytest.fixture
def clip(tmp_path: Path) -> str:
    """Five grey frames of 32x16 at 50 frames/s."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=50)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        for index in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((16, 32, 3), 99, np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 50)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return str(path)


def test_a_clip_is_streamed_and_summed_up(
    obliging: Any, clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stream", clip, "--url", obliging.url, "--output", "raw"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("5 masks in ")
    assert "round trip" in text
    opened = obliging.talks[0].heard[0]
    assert (opened.policy, opened.output) == (DropPolicy.LATEST, MaskEncoding.RAW)


def test_an_overlay_is_saved_frame_by_frame(obliging: Any, clip: str, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.mp4"
    argv = ["stream", clip, "--url", obliging.url, "--policy", "every", "--overlay", str(overlay)]
    assert main(argv) == 0
    with av.open(str(overlay)) as container:
        frames = list(container.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.02, 0.04, 0.06, 0.08], abs=1e-3)
    # The small server labels frame 0 "sky" (blue) and frame 1 "road" (red).
    first, second = (frame.to_ndarray(format="rgb24")[8, 16].astype(int) for frame in frames[:2])
    assert first[2] > first[0] + 50
    assert second[0] > second[2] + 50


def test_losses_and_failures_are_reported(
    small_server: Any, clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet(window=8)
        for _ in range(5):
            await talk.frame()
        await talk.say(Dropped((0, 1), DropCause.NEWER))
        await talk.say(Failure("undecodable", "not a picture", 422, seq=2))
        await talk.mask(3)
        await talk.mask(4)
        await talk.say(End())

    assert main(["stream", clip, "--url", small_server(handler).url, "--rate", "500"]) == 0
    told = capsys.readouterr()
    assert "dropped: newer" in told.out
    assert "Some frames failed: not a picture" in told.err


def test_frames_without_an_answer_are_a_failure(
    small_server: Any, clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet(window=8)
        while await talk.frame() is not None:
            pass
        await talk.say(End())

    assert main(["stream", clip, "--url", small_server(handler).url]) == 1
    assert "unanswered" in capsys.readouterr().out


def test_a_stream_that_breaks_off_is_summed_up_too(
    small_server: Any, clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet()
        await talk.frame()
        await talk.mask(0)
        await talk.socket.close(1011, "engine_dead")

    assert main(["stream", clip, "--url", small_server(handler).url]) == 1
    told = capsys.readouterr()
    assert told.out.startswith("1 masks in ")
    assert told.err == "mastream: The server closed the stream: engine_dead.\n"


def breaking(small_server: Any) -> Any:
    """A server that loses its first connection after one mask."""

    async def handler(talk: Any) -> None:
        first = len(server.talks) == 1
        await talk.greet(resume="token", memory=MemoryState.NEW if first else MemoryState.INTACT)
        if first:
            await talk.frame()
            await talk.mask(0)
            talk.socket.transport.abort()
        else:
            await talk.answer_all()
            await talk.socket.wait_closed()

    server = small_server(handler)
    return server


def test_a_lost_connection_is_resumed_and_a_line_says_so(
    small_server: Any, clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server = breaking(small_server)
    assert main(["stream", clip, "--url", server.url, "--policy", "every"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("5 masks in ")
    lost, resumed = told.err.splitlines()
    assert re.fullmatch(
        r"mastream: The connection to the server was lost\. Connecting again in \d\.\d s\.", lost
    )
    assert re.fullmatch(
        r"mastream: Resumed after \d\.\d s; the stream's memory is intact\.", resumed
    )
    assert [talk.heard[0].resume for talk in server.talks] == [None, "token"]


def test_without_resuming_a_lost_connection_is_an_error(
    small_server: Any, clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server = breaking(small_server)
    assert main(["stream", clip, "--url", server.url, "--policy", "every", "--no-resume"]) == 1
    assert capsys.readouterr().err == "mastream: The connection to the server was lost.\n"
    assert len(server.talks) == 1


def test_a_clip_that_cannot_be_read(
    obliging: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stream", str(tmp_path / "absent.mp4"), "--url", obliging.url]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "absent.mp4 cannot be read" in told.err


def test_an_overlay_without_masks_makes_no_sense(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["stream", "0", "--overlay", "o.mp4", "--output", "none"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("mastream stream: error: --overlay needs masks")
    assert told.count("\n") == 1


@pytest.mark.parametrize("place", ["absent/o.mp4", ".", "clip.mp4/o.mp4", "o.txt", "o.webm"])
def test_an_overlay_that_cannot_be_written_is_found_before_anything_else(
    place: str, clip: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["stream", clip, "--url", "http://127.0.0.1:1", "--overlay", str(tmp_path / place)]
    assert main(argv) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"mastream: {tmp_path / place} ")
    assert told.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_the_servers_sentence_is_the_one_that_is_shown(
    small_server: Any, clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refuse(talk: Any) -> None:
        await talk.say(Failure("not_found", "no model is called 'nope'", 404, fatal=True))
        await talk.socket.close(4404, "not_found")

    assert main(["stream", clip, "--url", small_server(refuse).url, "--model", "nope"]) == 1
    assert capsys.readouterr() == ("", "mastream: no model is called 'nope'\n")
