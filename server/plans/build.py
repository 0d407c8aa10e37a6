"""Building a TensorRT plan of the served model in a separate process, while another engine serves.

The caller receives :class:`Building` repeatedly, then :class:`Ready` or :class:`Failed` once. The
engine is not changed here.
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
"""A build takes minutes; after this time it counts as hanging."""

GRACE_SECONDS = 10.0
"""How long a build that is stopped may take to clean up before it is killed."""

LONGEST_LINE = 4096
"""Bytes of a line that are read; TensorRT's own log may have longer lines."""

WORKSPACE_MIB = 2048
"""Scratch memory of a build, since the GPU serves meanwhile; TensorRT's default is all of it."""


@dataclass(frozen=True, slots=True)
class Building:
    """The build is running, at 0 to 100 percent, in this phase."""

    percent: int
    phase: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The plan is complete, with its description next to it."""

    path: Path


@dataclass(frozen=True, slots=True)
class Failed:
    """The build failed; ``reason`` is one sentence."""

    reason: str


PlanState = Building | Ready | Failed


def check_folder(folder: Path) -> None:
    """Raise OSError if no plan can be written to the folder; check it before a build."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder):
        pass


def build_command(request: PlanRequest) -> list[str]:
    """Return the command that builds the requested plan, tuned for half the largest batch; it stops
    if this process ends."""
    batch = BatchRange(1, max(1, request.max_batch // 2), request.max_batch)
    return [
        *(sys.executable, "-m", "export.to_trt", str(request.model), "-o", str(request.folder)),
        *("--precision", request.precision, "--batch", str(batch), "--device", str(request.device)),
        *("--workspace", str(WORKSPACE_MIB), "--until-stdin-ends"),
    ]


class PlanBuild:
    """One build by ``command``, with the output of export/to_trt.py: progress on stderr, the plan's
    path on stdout, status 0 on success. ``on_state`` is called on the event loop.

    The command must stop when its stdin ends, which it does even if this process is killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        on_state: Callable[[PlanState], None],
        *,
        limit: float = LIMIT_SECONDS,
        grace: float = GRACE_SECONDS,
    ) -> None:
        self.state: PlanState = Building(0, "starting")
        self._command = command
        self._on_state = on_state
        self._limit = limit
        self._grace = grace
        self._last_words = ""

    def __repr__(self) -> str:
        return f"<PlanBuild {self.state}>"

    async def run(self) -> Ready | Failed:
        """Build the plan within ``limit`` seconds. Cancelling also stops the process."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
            )
        except OSError as error:
            return self._end(Failed(f"The build of the plan could not be started: {error}."))
        try:
            async with asyncio.timeout(self._limit):
                return self._end(await self._follow(process))
        except TimeoutError:
            words = f"The build of the plan took more than {self._limit:g} seconds."
            return self._end(Failed(words))
        finally:
            await stop(process, self._grace)

    async def _follow(self, process: Process) -> Ready | Failed:
        assert process.stdout and process.stderr
        path, _ = await asyncio.gather(last_line(process.stdout), self._read(process.stderr))
        code = await process.wait()
        if code == 0 and path:
            return Ready(Path(path))
        return Failed(self._last_words or f"The build of the plan ended with status {code}.")

    async def _read(self, stream: asyncio.StreamReader) -> None:
        """Read the progress; keep the last line that reports none."""
        async for line in lines(stream):
            progress = BuildProgress.parse(line)
            if progress:
                self._report(Building(progress.percent, progress.phase))
            elif line.strip():
                self._last_words = line.strip()

    def _end(self, state: Ready | Failed) -> Ready | Failed:
        self._report(state)
        return state

    def _report(self, state: PlanState) -> None:
        self.state = state
        self._on_state(state)


async def stop(process: Process, grace: float) -> None:
    """Terminate a process and its children; kill them if it does not end in ``grace`` seconds, and
    at once those that it has left behind."""
    signals: list[tuple[int, float | None]] = [(signal.SIGKILL, None)]
    if process.returncode is None:
        signals.insert(0, (signal.SIGTERM, grace))
    elif _has_been_read(process):
        return  # no child has its output open, and its number may be another's by now
    # Drain its output: a full pipe would keep it from exiting.
    ending = asyncio.ensure_future(process.communicate())
    for number, seconds in signals:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        await asyncio.wait([ending], timeout=seconds)


def _has_been_read(process: Process) -> bool:
    assert process.stdout and process.stderr
    return process.stdout.at_eof() and process.stderr.at_eof()


async def lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Yield lines without their ends, cut off after LONGEST_LINE bytes."""
    rest = b""
    while chunk := await stream.read(LONGEST_LINE):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line[:LONGEST_LINE].decode(errors="replace")
        rest = rest[:LONGEST_LINE]
    if rest:
        yield rest.decode(errors="replace")


async def last_line(stream: asyncio.StreamReader) -> str:
    """Return the last line that is not blank; "" if there is none."""
    last = ""
    async for line in lines(stream):
        last = line.strip() or last
    return last
