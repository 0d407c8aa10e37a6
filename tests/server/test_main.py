"""``python -m server``: flags over environment, and errors in one sentence."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from server.__main__ import _parser, _with_command, main, settings_of

ROOT = Path(__file__).parents[2]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_flags_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTREAM_PORT", "9000")
    monkeypatch.setenv("MASTREAM_HOST", "0.0.0.0")
    monkeypatch.setenv("MASTREAM_ENGINE__NAME", "onnx_rt")
    monkeypatch.setenv("MASTREAM_ENGINE__FAKE_STEP_MS", "5")
    flags = ["--port", "9001", "--engine", "fake", "--max-batch", "2", "--model", "some.onnx"]
    settings = settings_of(_parser().parse_args(_with_command(flags)))
    assert (settings.host, settings.port) == ("0.0.0.0", 9001)
    assert (settings.engine.name, settings.engine.max_batch) == ("fake", 2)
    assert (settings.engine.fake_step_ms, settings.engine.model) == (5.0, Path("some.onnx"))


def test_serving_is_what_it_does_without_a_command() -> None:
    assert _with_command([]) == ["serve"]
    assert _with_command(["--port", "1"]) == ["serve", "--port", "1"]
    assert _with_command(["segment", "a.mp4"]) == ["segment", "a.mp4"]
    assert _with_command(["--help"]) == ["--help"]


def test_a_wrong_setting_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", "99999"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("mastream: The settings are not valid: port:") and told.count("\n") == 1


def test_a_group_of_settings_that_is_no_json_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASTREAM_STREAMS", "nojson")
    assert main([]) == 2
    told = capsys.readouterr().err
    assert told.startswith("mastream: The settings are not valid:") and told.count("\n") == 1
    assert "streams" in told


def test_a_setting_that_is_none_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASTREAM_VIDEOS__MAX_BYTE", "1")
    assert main([]) == 2
    assert "videos.max_byte:" in capsys.readouterr().err


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "serve" in told and "segment" in told


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("--port", str(port), "--engine", "fake", "--data", str(tmp_path))
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr == (
        f"mastream: Cannot listen on 127.0.0.1:{port}: address already in use; "
        "choose another --port.\n"
    )


def test_a_model_that_is_not_there_ends_the_process(tmp_path: Path) -> None:
    missing = tmp_path / "missing.onnx"
    ended = run("--port", "0", "--model", str(missing), "--data", str(tmp_path))
    assert ended.returncode == 1 and ended.stdout == ""
    assert str(missing) in ended.stderr and ended.stderr.count("\n") == 1


@pytest.mark.parametrize("place", ["file", "file/deep", "x" * 300])
def test_a_folder_that_cannot_be_written_is_one_sentence(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["--port", "0", "--engine", "fake", "--data", str(tmp_path / place)]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"mastream: Cannot write to {tmp_path / place}: ")
    assert told.endswith("; choose another --data.\n") and told.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["serve", "--what"], "serve"),
        (["--what"], "serve"),
        (["--port", "x"], "serve"),
        (["segment", "a.mp4", "-o", "out", "--what"], "segment"),
        (["segment", "a.mp4"], "segment"),
    ],
)
def test_wrong_use_is_one_sentence_that_names_its_command(
    argv: list[str], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"python -m server {command}: error: ")
    assert told.endswith(f"; see python -m server {command} --help.\n")
    assert told.count("\n") == 1


def test_the_artefacts_of_a_video_can_be_chosen(
    tmp_path: Path, make_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    clip, out = make_clip(tmp_path / "clip.mp4", 2), tmp_path / "out"
    command = ["segment", str(clip), "-o", str(out), "--engine", "fake", "--artefacts"]
    assert main([*command, "summary.json, masks.mkv"]) == 0
    assert {file.name for file in out.iterdir()} == {"summary.json", "masks.mkv", "poster.jpg"}
    assert main([*command, "masks.mp4"]) == 2
    assert "There is no artefact 'masks.mp4'" in capsys.readouterr().err


def test_the_classes_of_a_video_and_their_opacity_can_be_chosen(
    tmp_path: Path, make_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    clip, out = make_clip(tmp_path / "clip.mp4", 2), tmp_path / "out"
    command = ["segment", str(clip), "-o", str(out), "--engine", "fake"]
    chosen = ["--artefacts", "classes.csv", "--classes", "SKY,road", "--opacity", "0.2"]
    assert main([*command, *chosen]) == 0
    assert (out / "classes.csv").read_text().startswith("frame,time,sky,road\n")
    capsys.readouterr()
    assert main([*command, "--opacity", "2"]) == 2
    assert "give a number from 0 to 1" in capsys.readouterr().err
    assert main([*command, "--classes", "lake"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("mastream: The model has no class 'lake'; choose from sky, ")
    assert told.count("\n") == 1
