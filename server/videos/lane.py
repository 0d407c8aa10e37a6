"""One lane: segments pieces of a video, one after the other, as long as any is free."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from enum import Enum
from functools import partial
from pathlib import Path

from server.errors import (
    BadVideo,
    DiskFull,
    Fault,
    MastreamError,
    NoCapacity,
    detached,
    unwritable,
)
from server.frame import Losses
from server.sinks.recorder import Recorder
from server.videos.keeping import Keeping, Lost
from server.videos.ledger import Ledger, Taken
from server.videos.reader import PieceReader, Work
from server.videos.recording import Recording

MAX_DEATHS = 5
"""How often in a row a server may die in the same place of a piece before its video fails."""

REACHED = "reached"
"""The file in a piece's folder with the number of frames recorded so far: it survives a crash."""

_log = logging.getLogger(__name__)

OnFrames = Callable[[int, int], None]
"""Called on the event loop with a piece's number and how many of its frames are recorded."""


class Outcome(Enum):
    DONE = "done"
    AGAIN = "again"
    FULL = "full"


class Lane:
    """Segments the pieces that its ledger gives it.

    A piece that fails with a Fault is started again, by any lane, until the ledger's
    ``max_failures``; then the Fault names its place. The same happens if servers died in it too
    often. A piece that ends its video stays taken. On a full disk the lane waits, if it can.
    """

    def __init__(
        self,
        work: Work,
        ledger: Ledger,
        on_frames: OnFrames,
    ) -> None:
        self._work = work
        self._ledger = ledger
        self._on_frames = on_frames

    async def run(self) -> None:
        """Segment pieces until none is free.

        Raises NoCapacity if the worker has no session left, CutsDiffer if the video must not be
        cut, BadVideo if it cannot be decoded, and Fault if a piece failed too often: SourceFault if
        the video cannot be read, or its decoder dies.
        """
        taken = await self._ledger.take()
        while taken is not None:
            taken = await self._read_on(taken)

    async def _read_on(self, taken: Taken) -> Taken | None:
        """Segment a piece, and the following ones while they are free; return the next piece that
        begins elsewhere."""
        async with PieceReader(self._work) as reader:
            while True:
                number = taken.piece.number
                if await self._segment(reader, taken) is not Outcome.DONE:
                    return await self._ledger.take()
                following = await self._ledger.take(number)
                if following is None or following.piece.number != number + 1:
                    return following
                taken = following

    async def _segment(self, reader: PieceReader, taken: Taken) -> Outcome:
        """Segment one piece; afterwards it is done, or released for another attempt."""
        outcome = Outcome.DONE
        self._on_frames(taken.piece.number, 0)
        try:
            self._check_deaths(taken)
            frames, losses = await self._record(reader, taken)
            await self._finish(taken, frames, losses)
        except Lost:
            await self._leave(taken)
            outcome = Outcome.AGAIN
        except DiskFull as error:
            await self._give_back(taken)
            if self._work.space is None:
                raise
            _log.warning("%s The video waits for space.", error)
            outcome = Outcome.FULL
        except Fault as error:
            if await self._has_failed(taken, error):
                raise self._named(taken, error) from error
            outcome = Outcome.AGAIN
        except (NoCapacity, asyncio.CancelledError):
            await self._give_back(taken)
            raise
        except BaseException:
            await self._give_up(taken)
            raise
        if outcome is Outcome.FULL and self._work.space is not None:
            await self._work.space.wait_for_space()
        return outcome

    def _check_deaths(self, taken: Taken) -> None:
        if taken.deaths >= MAX_DEATHS:
            raise Fault("The server died there each time; its log may say why.")

    async def _has_failed(self, taken: Taken, error: Fault) -> bool:
        """Return whether to give up a piece that raised a Fault. It has not failed if it was lost:
        then others may have removed its files."""
        failures = await self._ledger.fail(taken)
        if not failures:
            await self._leave(taken)
            return False
        _log.warning("%s failed %d times: %s", taken.piece, failures, error, exc_info=error)
        if taken.deaths >= MAX_DEATHS or failures >= self._ledger.max_failures:
            await self._give_up(taken)
            return True
        await self._give_back(taken)
        self._ledger.rest()
        return False

    async def _leave(self, taken: Taken) -> None:
        """Remove the files of a piece that was lost."""
        _log.warning("%s were lost to another server, or with their video", taken.piece)
        await self._remove(taken)

    async def _record(self, reader: PieceReader, taken: Taken) -> tuple[int, Losses]:
        keeping = Keeping(self._ledger, taken)

        def on_progress(frames: int) -> None:
            keeping.frames = frames
            self._on_frames(taken.piece.number, frames)

        make = partial(_recorder, self._work, taken)
        async with (
            keeping,
            Recording(make, self._work.window, on_progress, self._reached(taken)) as recording,
        ):
            frames = await reader.feed(taken.piece, recording)
            losses = reader.losses()
            self._work.on_losses(losses)
            check_losses(losses, frames)
            await recording.finish(frames, losses)
        return frames, losses

    async def _finish(self, taken: Taken, frames: int, losses: Losses) -> None:
        if not await self._ledger.finish(taken, frames, losses):
            raise Lost

    async def _give_back(self, taken: Taken) -> None:
        """Release a piece and remove its files."""
        await asyncio.shield(self._ledger.release(taken))
        await asyncio.shield(self._remove(taken))

    async def _give_up(self, taken: Taken) -> None:
        """Let a piece end its video, and remove its files."""
        self._ledger.give_up(taken)
        await asyncio.shield(self._remove(taken))

    def _reached(self, taken: Taken) -> Path:
        return self._work.folder / taken.folder / REACHED

    async def _remove(self, taken: Taken) -> None:
        folder = self._work.folder / taken.folder
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _named(self, taken: Taken, error: Fault) -> MastreamError:
        """Return the error with its place, if the video has several."""
        keys = self._work.cuts.keys
        begins = next((key.time for key in keys if key.number == taken.piece.first), None)
        if begins is None or taken.piece.last is None:
            return detached(error)
        return Fault(f"The video failed at {taken.piece}, from {float(begins):.1f} s on: {error}")


def check_losses(losses: Losses, frames: int) -> None:
    """Raise BadVideo if most of a video is lost; ``frames`` pictures were decoded."""
    if losses.most_of(frames):
        lost = losses.undecodable + losses.missing
        raise BadVideo(
            f"Most of the video cannot be decoded: of {frames + lost} pictures {lost} are lost and "
            f"{losses.damaged} damaged; send an intact copy."
        )


def _recorder(work: Work, taken: Taken) -> Recorder:
    folder = work.folder / taken.folder
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    except OSError as error:
        raise unwritable("The results", error.errno, error.strerror) from error
    return Recorder(folder, work.worker.spec, work.info, work.artefacts, work.style)
