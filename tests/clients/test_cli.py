"""Arguments, exit codes and errors of the command ``mastream``."""

from __future__ import annotations

import re
import subprocess
import sys
from argparse import Namespace
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from clients.python import cli
from clients.python.errors import NoCapacity
from clients.python.segment_arguments import LOCAL_OPTIONS, OUTPUT_OPTIONS


def command(run: Any) -> dict[str, str]:
    """A table of one command, ``segment``, that is ``run``."""
    module = ModuleType("commands_of_a_test")
    module.run = run
    sys.modules[module.__name__] = module
    return dict.fromkeys(cli.COMMANDS, module.__name__)


def called(monkeypatch: pytest.MonkeyPatch, argv: list[str]) -> tuple[Namespace, list[str]]:
    seen: list[Any] = []
    table = command(lambda args, rest: seen.append((args, rest)) or 0)
    monkeypatch.setattr(cli, "COMMANDS", table)
    assert cli.main(argv) == 0
    (call,) = seen
    return call


def test_every_command_can_be_imported_and_run() -> None:
    for module in cli.COMMANDS.values():
        assert callable(__import__(module, fromlist=["run"]).run)


def test_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    args, rest = called(monkeypatch, ["segment", "a.mp4", "-o", "out", "--engine", "fake"])
    assert (args.video, args.out, args.url) == (Path("a.mp4"), Path("out"), None)
    assert rest == ["--engine", "fake"]


def test_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    args, _ = called(monkeypatch, ["stream", "0", "--policy", "every", "--rate", "12.5"])
    assert (args.source, args.policy, args.rate, args.url) == ("0", "every", 12.5, cli.DEFAULT_URL)
    assert (args.output, args.size, args.overlay, args.budget_ms) == ("png", "input", None, None)


def test_load(monkeypatch: pytest.MonkeyPatch) -> None:
    args, _ = called(monkeypatch, ["load", "-n", "3", "--picture", "64x48", "--json", "-"])
    assert (args.streams, args.picture, args.json) == (3, (64, 48), Path("-"))
    assert (args.rate, args.seconds, args.video) == (30.0, 10.0, None)


def test_serve_leaves_all_arguments_to_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    _, rest = called(monkeypatch, ["serve", "--port", "0", "--help"])
    assert rest == ["--port", "0", "--help"]


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["segmnet"],
        ["segment", "a.mp4"],
        ["segment", "a.mp4", "-o", "out", "--url", "http://h", "--engine", "fake"],
        ["segment", "a.mp4", "-o", "out", "--url", ""],
        ["segment", "a.mp4", "-o", "out", "--remove"],
        ["segment", "a.mp4", "-o", "out", "--callback-url", "http://h"],
        ["segment", "a.mp4", "-o", "out", "--url", "http://h", "--remove", "--callback-url", "h"],
        ["segment", "a.mp4", "-o", "out", "--threads", "some"],
        ["segment", "a.mp4", "-o", "out", "--policy", "every"],
        ["segment", "a.mp4", "b.mp4", "-o", "out"],
        ["stream", "0", "--url", "ftp://host"],
        ["stream", "0", "--url", "http://host:port"],
        ["stream", "0", "--engine", "fake"],
        ["load", "--url", "http://a b"],
        ["stream"],
        ["stream", "0", "--policy", "some"],
        ["stream", "0", "--rate", "0"],
        ["stream", "0", "--rate", "nan"],
        ["load", "-n", "0"],
        ["load", "--seconds", "-1"],
        ["load", "--picture", "64"],
        ["load", "--what"],
    ],
)
def test_wrong_use_is_reported_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2
    told = capsys.readouterr().err
    command = " ".join(["mastream", *(word for word in argv[:1] if word in cli.COMMANDS)])
    assert told.startswith(f"{command}: error: ")
    assert told.endswith(f"; see {command} --help.\n")
    assert told.count("\n") == 1


def test_the_options_of_segment_are_those_of_the_server() -> None:
    served = subprocess.run(
        [sys.executable, "-m", "server", "segment", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    known = set(LOCAL_OPTIONS) | set(OUTPUT_OPTIONS)
    assert set(re.findall(r"^  (--[\w-]+)", served.stdout, re.M)) == known


def test_exit_codes_are_documented(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    told = capsys.readouterr().out
    assert "0 success; 1 failure; 2 wrong usage" in told
    assert "130 SIGINT" in told and "143 SIGTERM" in told


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"mastream {version('mastream')}\n"


@pytest.mark.parametrize("argv", [["-h"], ["segment", "-h"], ["stream", "-h"], ["load", "-h"]])
def test_help_gives_examples(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 0
    assert "examples:\n  mastream " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("raised", "code", "says"),
    [
        (NoCapacity("the server is full"), 1, "mastream: the server is full\n"),
        (KeyboardInterrupt(), 130, "mastream: Interrupted.\n"),
        (
            PermissionError(13, "Permission denied", "/root/x"),
            1,
            "mastream: Permission denied: /root/x.\n",
        ),
    ],
)
def test_errors_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    raised: BaseException,
    code: int,
    says: str,
) -> None:
    def run(*_: Any) -> int:
        raise raised

    monkeypatch.setattr(cli, "COMMANDS", command(run))
    assert cli.main(["stream", "0"]) == code
    assert capsys.readouterr() == ("", says)


def test_it_runs_as_a_program() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "clients.python.cli", "stream", "x", "--url", "http://127.0.0.1:1"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("mastream: No server answers at ws://127.0.0.1:1/v1/stream")
    assert ended.stderr.count("\n") == 1


def test_an_output_that_nobody_reads_is_one_sentence() -> None:
    run = "import sys; from types import ModuleType; from clients.python import cli\n"
    run += "sys.modules['long'] = long = ModuleType('long'); cli.COMMANDS['load'] = 'long'\n"
    run += "long.run = lambda *_: print('x' * 100) or 0\n"
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        ended = subprocess.run(
            [sys.executable, "-c", f"{run}raise SystemExit(cli.main(['load']))"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=Path(__file__).parents[2],
        )
    assert ended.returncode == 1
    assert ended.stderr == "mastream: No space left on device.\n"
