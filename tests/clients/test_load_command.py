from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from clients.python.cli import main
from protocol import End, picture_kind

QUICK = ["-n", "2", "--rate", "200", "--seconds", "0.02", "--picture", "32x16"]


def test_a_table_and_json(
    obliging: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "load.json"
    assert main(["load", "--url", obliging.url, *QUICK, "--json", str(out)]) == 0
    told = json.loads(out.read_text())
    assert told["streams"] == 2
    assert told["frames"]["sent"] == told["frames"]["masks"] > 0
    assert "2 streams at 200 frames/s" in capsys.readouterr().out


def test_json_alone_on_standard_output(obliging: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", "--url", obliging.url, *QUICK, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"] is True


def test_frames_that_stay_unanswered_fail_it(
    small_server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet(window=100)
        while await talk.frame() is not None:
            pass
        await talk.say(End())

    assert main(["load", "--url", small_server(handler).url, *QUICK]) == 1
    assert "frames unanswered, 0 answered twice" in capsys.readouterr().err


def test_streams_that_fail_are_told(small_server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet()
        await talk.socket.close(1011, "engine_dead")

    assert main(["load", "--url", small_server(handler).url, *QUICK]) == 1
    assert "2 of 2 streams failed" in capsys.readouterr().err


def test_a_video_gives_the_pictures(small_server: Any, tmp_path: Path) -> None:
    clip, seen = tmp_path / "clip.mp4", []
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 32, 3), np.uint8), format="rgb24")
        frame.pts, frame.time_base = 0, Fraction(1, 10)
        container.mux([*stream.encode(frame), *stream.encode()])

    async def handler(talk: Any) -> None:
        await talk.greet()
        while (heard := await talk.frame()) is not None:
            seen.append(heard[1])
            await talk.mask(heard[0].seq)
        await talk.say(End())

    assert main(["load", "--url", small_server(handler).url, *QUICK, "--video", str(clip)]) == 0
    assert len(set(seen)) == 1
    assert picture_kind(seen[0]) == "jpeg"
