from __future__ import annotations

import json
import re
import signal
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import clients.python.load_command
import clients.python.load_progress
from clients.python.cli import main
from clients.python.measures import Times
from protocol import End, Failure, picture_kind

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
    assert "frames were not answered, 0 answered twice." in capsys.readouterr().err


def test_streams_that_fail_are_reported(
    small_server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
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


@pytest.mark.parametrize("place", ["absent/x.json", ".", "file/x.json"])
def test_a_json_file_that_cannot_be_written_is_found_before_the_load(
    obliging: Any, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("old")
    target = str(tmp_path / place)
    assert main(["load", "--url", obliging.url, "--seconds", "60", "--json", target]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"mastream: {tmp_path / place} ")
    assert told.err.count("\n") == 1
    assert obliging.talks == []


def test_the_json_file_there_is_untouched_if_no_load_comes_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "x.json"
    target.write_text("old")
    assert main(["load", "--url", "http://127.0.0.1:1", "--json", str(target)]) == 1
    assert target.read_text() == "old"
    assert capsys.readouterr().err.startswith("mastream: No server answers at")


def test_tables_are_shown_even_if_the_file_cannot_be_written_in_the_end(
    obliging: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "full.json"
    target.symlink_to("/dev/full")
    assert main(["load", "--url", obliging.url, *QUICK, "--json", str(target)]) == 1
    told = capsys.readouterr()
    assert "2 streams at 200 frames/s" in told.out
    assert told.err == f"mastream: {target} cannot be written: No space left on device.\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_it_shows_what_it_has_measured(
    obliging: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    seen: list[Any] = []

    def add(_times: Times, mask: Any) -> None:
        seen.append(mask)
        if len(seen) == 3:
            signal.raise_signal(number)

    monkeypatch.setattr(Times, "add", add)
    out = tmp_path / "load.json"
    argv = ["load", "--url", obliging.url, "-n", "1", "--rate", "50"]
    assert main([*argv, "--seconds", "600", "--json", str(out)]) == 128 + number
    told = capsys.readouterr()
    assert "s (interrupted): " in told.out
    assert told.err == "mastream: Interrupted.\n"
    found = json.loads(out.read_text())
    assert found["interrupted"] is True
    assert found["passed"] is False
    assert found["frames"]["masks"] == 3
    assert found["frames"]["held"] < 50 * found["elapsed"] + 1


def test_interrupted_before_a_frame_was_due_it_has_nothing_to_show(
    small_server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    async def handler(talk: Any) -> None:
        signal.pthread_kill(main_thread, signal.SIGINT)
        await talk.socket.wait_closed()

    assert main(["load", "--url", small_server(handler).url, *QUICK]) == 130
    assert capsys.readouterr() == ("", "mastream: Interrupted.\n")


def test_without_a_terminal_progress_is_a_line_now_and_then(
    obliging: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(clients.python.load_progress, "LINE_SECONDS", 0.0)
    monkeypatch.setattr(clients.python.load_command, "SHOW_SECONDS", 0.001)
    argv = ["load", "--url", obliging.url, "-n", "1", "--rate", "50", "--seconds", "0.1"]
    assert main(argv) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all(re.fullmatch(r"0 of 0\.1 s, \d masks, 0 dropped", line) for line in lines)


def test_on_a_terminal_progress_is_a_bar(
    obliging: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(clients.python.load_command, "SHOW_SECONDS", 0.001)
    argv = ["load", "--url", obliging.url, "-n", "1", "--rate", "50", "--seconds", "0.1"]
    assert main(argv) == 0
    told = capsys.readouterr().err
    assert "loading" in told
    assert "masks, 0 dropped" in told


def test_a_model_that_is_not_there_is_reported_in_the_servers_words(
    small_server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refuse(talk: Any) -> None:
        await talk.say(Failure("not_found", "no model is called 'nope'", 404, fatal=True))
        await talk.socket.close(4404, "not_found")

    assert main(["load", "--url", small_server(refuse).url, "--model", "nope"]) == 1
    assert capsys.readouterr() == ("", "mastream: no model is called 'nope'\n")
