"""A plan is built in a process that reports, has a time limit and can be stopped."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from living import open_files
from watching import is_running

from export import to_trt
from models.plan import BatchRange
from server.engines.fake import fake_spec
from server.plans.build import (
    Building,
    Failed,
    PlanBuild,
    PlanState,
    Ready,
    build_command,
    check_folder,
)
from server.plans.wanted import PlanRequest

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[3]
LIMIT = 60.0

linux = pytest.mark.skipif(sys.platform != "linux", reason="it needs /proc")


def script(text: str) -> list[str]:
    return [sys.executable, "-c", "import sys\n" + text]


async def build(text: str) -> tuple[Ready | Failed, list[PlanState]]:
    heard: list[PlanState] = []
    ended = await PlanBuild(script(text), heard.append).run()
    assert heard[-1] is ended
    return ended, heard[:-1]


async def test_progress_is_reported_and_then_the_plan() -> None:
    ended, heard = await build(
        "print('progress 0 parsing', file=sys.stderr)\n"
        "print('[TRT] a word of its own', file=sys.stderr)\n"
        "print('progress 42 Tactic selection', file=sys.stderr)\n"
        "print('plans/a b.plan')"
    )
    assert ended == Ready(Path("plans/a b.plan"))
    assert heard == [Building(0, "parsing"), Building(42, "Tactic selection")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("print('to_trt: no GPU', file=sys.stderr); sys.exit(2)", "to_trt: no GPU"),
        ("sys.exit(3)", "The build of the plan ended with status 3."),
        ("pass", "The build of the plan ended with status 0."),
        ("sys.stderr.write('x' * 10**6 + '\\nat last'); sys.exit(1)", "at last"),
        ("raise KeyError('torch')", "KeyError: 'torch'"),
        ("sys.stdout.buffer.write(b'x' * 10**6); sys.exit(1)", "ended with status 1."),
        ("sys.stderr.buffer.write(b'\\xff\\xfe gone'); sys.exit(1)", "gone"),
    ],
)
async def test_a_build_that_fails_says_why(text: str, reason: str) -> None:
    ended, _ = await build(text)
    assert isinstance(ended, Failed) and ended.reason.endswith(reason)


async def test_what_cannot_be_started_says_why(tmp_path: Path) -> None:
    heard: list[PlanState] = []
    ended = await PlanBuild([str(tmp_path / "absent")], heard.append).run()
    assert isinstance(ended, Failed) and "could not be started" in ended.reason
    assert heard == [ended]


def hanging(mark: Path, deaf: bool = False) -> list[str]:
    """A process that writes its number into ``mark``, says a word and never ends; ``deaf``: not
    when asked to, either."""
    trap = "trap '' TERM" if deaf else ""
    text = f"{trap}\necho $$ > '{mark}'; echo progress 1 hanging >&2; while :; do sleep 1; done"
    return ["sh", "-c", text]


@pytest.mark.parametrize("deaf", [False, True])
async def test_a_build_that_hangs_is_given_up(tmp_path: Path, deaf: bool) -> None:
    heard: list[PlanState] = []
    build = PlanBuild(hanging(tmp_path / "pid", deaf), heard.append, limit=2.0, grace=0.2)
    ended = await build.run()
    assert ended == Failed("The build of the plan took more than 2 seconds.")
    assert heard == [Building(1, "hanging"), ended]
    assert not is_running(int((tmp_path / "pid").read_text()))


@linux
async def test_what_a_build_leaves_behind_is_ended_and_its_pipes_are_closed(
    tmp_path: Path,
) -> None:
    """A process of a build that has ended holds its output open."""
    mark, before = tmp_path / "pid", open_files()
    text = f"sleep 1000 & echo $! > '{mark}'; exit 3"
    ended = await PlanBuild(["sh", "-c", text], lambda _: None, limit=2.0).run()
    assert ended == Failed("The build of the plan took more than 2 seconds.")
    left = int(mark.read_text())
    async with asyncio.timeout(LIMIT):
        while has_memory(left) or open_files() != before:  # noqa: ASYNC110  nobody reports it
            await asyncio.sleep(0.01)


def has_memory(process: int) -> bool:
    """Return whether a process runs; one that nobody reaps does not."""
    try:
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_build_that_is_cancelled_takes_its_process_along(tmp_path: Path) -> None:
    started = asyncio.Event()
    build = PlanBuild(hanging(tmp_path / "pid"), lambda _: started.set())
    running = asyncio.ensure_future(build.run())
    await asyncio.wait_for(started.wait(), 60)
    assert build.state == Building(1, "hanging")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not is_running(int((tmp_path / "pid").read_text()))


PARENT = """
import asyncio, os, signal, sys
from server.plans.build import PlanBuild
def die(_):
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(PlanBuild([sys.executable, "-c", sys.argv[1], sys.argv[2]], die).run())
"""

CHILD = """
import pathlib, sys
from export.stopping import stopping
with stopping(0) as stop:
    print("progress 1 building", file=sys.stderr, flush=True)
    stop.wait()
pathlib.Path(sys.argv[1]).write_text("stopped")
"""


def test_a_service_that_is_killed_takes_its_build_along(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    command = [sys.executable, "-c", PARENT, CHILD, str(mark)]
    killed = subprocess.run(command, cwd=ROOT, check=False, timeout=LIMIT)
    assert killed.returncode == -signal.SIGKILL
    deadline = time.monotonic() + LIMIT
    while not mark.exists():
        assert time.monotonic() < deadline, "the build goes on"
        time.sleep(0.01)


def test_the_command_is_ours() -> None:
    request = PlanRequest(Path("m.onnx"), fake_spec(), Path("plans"), "fp16", 4, 1)
    asked = build_command(request)[1:]
    assert asked == [
        *("-m", "export.to_trt", "m.onnx", "-o", "plans"),
        *("--precision", "fp16", "--batch", "1:2:4", "--device", "1"),
        *("--workspace", "2048", "--until-stdin-ends"),
    ]
    given = to_trt.parser().parse_args(asked[2:])
    assert (given.precision, given.batch, given.device) == ("fp16", BatchRange(1, 2, 4), 1)
    assert given.until_stdin_ends
    assert "1:1:1" in build_command(replace(request, max_batch=1))


def test_a_folder_that_cannot_be_written_is_noticed_before_a_build(tmp_path: Path) -> None:
    check_folder(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        check_folder(tmp_path / "file")
