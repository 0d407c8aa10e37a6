"""A TensorRT plan of the model that is served, built in a process of its own while the service
already serves by something else.

Whoever asked hears :class:`Building` as it goes on, then :class:`Ready` or :class:`Failed`, once.
The engine is not changed here.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from models.plan import BatchRange, BuildProgress
from server.plans.wanted import PlanRequest

LIMIT_SECONDS = 3600.0
"""A build takes minutes; one that takes this long hangs."""

GRACE_SECONDS = 10.0
"""What a build that is stopped may take to leave nothing behind; then it is killed."""

LONGEST_LINE = 4096
"""Bytes of a line that are looked at; TensorRT's own log may hold longer ones."""

WORKSPACE_MIB = 2048
"""Scratch memory that a build may take: the GPU serves meanwhile. TensorRT would take all of it."""


@dataclass(frozen=True, slots=True)
class Building:
    """Under way: 0 to 100 percent, and what it is at."""

    percent: int
    phase: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The plan is there, whole, its description beside it."""

    path: Path


@dataclass(frozen=True, slots=True)
class Failed:
    """There will be none, and why, in one sentence."""

    reason: str


PlanState = Building | Ready | Failed


def check_folder(folder: Path) -> None:
    """Raises OSError where a plan could not be kept: better before a build than after it."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder):
        pass


def build_command(request: PlanRequest) -> list[str]:
    """What builds the plan that is wished for, tuned for half the largest batch, and stops should
    this process be no more."""
    batch = BatchRange(1, max(1, request.max_batch // 2), request.max_batch)
    return [
        *(sys.executable, "-m", "export.to_trt", str(request.model), "-o", str(request.folder)),
        *("--precision", request.precision, "--batch", str(batch), "--device", str(request.device)),
        *("--workspace", str(WORKSPACE_MIB), "--until-stdin-ends"),
    ]


class PlanBuild:
    """One build by ``command``, which speaks as export/to_trt.py does: progress on stderr, the
    plan's path on stdout, 0 where it is there. ``hear`` is called on the event loop.

    The process's stdin ends with this process, even where that is killed: it is to stop then.
    """

    def __init__(
        self,
        command: Sequence[str],
        hear: Callable[[PlanState], None],
        *,
        limit: float = LIMIT_SECONDS,
        grace: float = GRACE_SECONDS,
    ) -> None:
        self.state: PlanState = Building(0, "starting")
        self._command = command
        self._hear = hear
        self._limit = limit
        self._grace = grace
        self._last_words = ""

    def __repr__(self) -> str:
        return f"<PlanBuild {self.state}>"

    async def run(self) -> Ready | Failed:
        """Build to the end, ``limit`` seconds at most. Cancelling stops the process too."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
            )
        except OSError as error:
            return self._end(Failed(f"the build of the plan could not be started: {error}"))
        try:
            async with asyncio.timeout(self._limit):
                return self._end(await self._follow(process))
        except TimeoutError:
            return self._end(Failed(f"the build of the plan took over {self._limit:g} seconds"))
        finally:
            await stop(process, self._grace)

    async def _follow(self, process: Process) -> Ready | Failed:
        assert process.stdout and process.stderr
        path, _ = await asyncio.gather(last_line(process.stdout), self._listen(process.stderr))
        code = await process.wait()
        if code == 0 and path:
            return Ready(Path(path))
        return Failed(self._last_words or f"the build of the plan ended with status {code}")

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        async for line in lines(stream):
            told = BuildProgress.parse(line)
            if told:
                self._tell(Building(told.percent, told.phase))
            elif line.strip():
                self._last_words = line.strip()

    def _end(self, state: Ready | Failed) -> Ready | Failed:
        self._tell(state)
        return state

    def _tell(self, state: PlanState) -> None:
        self.state = state
        self._hear(state)


async def stop(process: Process, grace: float) -> None:
    """Ask it and what it started to end, and kill them where it does not in ``grace`` seconds."""
    if process.returncode is not None:
        return
    # What it still writes is read away: with a full pipe it could not end.
    ending = asyncio.ensure_future(process.communicate())
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        await asyncio.wait([ending], timeout=seconds)


async def lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Lines without their ends; of a longer one the first LONGEST_LINE bytes."""
    rest = b""
    while chunk := await stream.read(LONGEST_LINE):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line[:LONGEST_LINE].decode(errors="replace")
        rest = rest[:LONGEST_LINE]
    if rest:
        yield rest.decode(errors="replace")


async def last_line(stream: asyncio.StreamReader) -> str:
    """The last line that is not empty; empty where there was none."""
    last = ""
    async for line in lines(stream):
        last = line.strip() or last
    return last
