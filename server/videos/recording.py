"""Writes the masks of one piece of a video into its files, in a separate thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from traceback import format_exception
from types import TracebackType
from typing import Self

from server.errors import Fault, MastreamError, detached
from server.frame import Dropped, Losses, Mask
from server.sinks.base import Sink
from server.sinks.recorder import Recorder

OnProgress = Callable[[int], None]
"""Called on the event loop with the number of frames recorded so far."""


class Recording(Sink):
    """Passes the masks of one piece of a video to a Recorder in a separate thread.

    Mutable state: ``window`` credits, one held by each frame from :meth:`wait_for_room` until its
    mask is written; the first failure, which has its traceback as a note; the number of masks
    written. If the block ends with an error, the recorder is aborted. Only its thread makes, uses
    and closes the recorder; it also keeps the number of masks written in the file ``reached``.
    """

    def __init__(
        self,
        make: Callable[[], Recorder],
        window: int,
        on_progress: OnProgress,
        reached: Path | None = None,
    ) -> None:
        self._make = make
        self._reached = reached
        self._on_progress = on_progress
        self._window = window
        self._credits = asyncio.Semaphore(window)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recorder")
        self._failure: MastreamError | None = None
        self._over = False
        self.written = 0

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._made = self._thread.submit(self._begin)
        return self

    async def wait_for_room(self) -> None:
        """Wait until one more frame may be in flight. Raises the first failure."""
        await self._credits.acquire()
        self._check()

    def mask(self, mask: Mask) -> None:
        if self._over:
            return
        writing = self._loop.run_in_executor(self._thread, self._write, mask)
        writing.add_done_callback(self._wrote)

    def dropped(self, drops: Sequence[Dropped]) -> None:
        for drop in drops:
            self._release(Fault(f"The server dropped frame {drop.seq}: {drop.cause}."))

    def failed(self, seq: int, error: Exception) -> None:
        self._release(Fault(f"Frame {seq} could not be segmented: {error}"))

    def give_up(self) -> None:
        """Ignore answers from now on: closing the session drops its frames, which is not a
        failure."""
        self._over = True

    async def finish(self, frames: int, losses: Losses) -> None:
        """Wait until the last mask is written and close the files.

        Raises the first failure, or Fault unless exactly ``frames`` masks were recorded.
        """
        for _ in range(self._window):
            await self._credits.acquire()
        self._check()
        if self.written != frames:
            raise Fault(f"The server recorded {self.written} masks for {frames} frames.")
        await self._loop.run_in_executor(self._thread, self._close, losses)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over = True
        if error is not None:
            self._thread.submit(self._abort)
        await asyncio.shield(asyncio.to_thread(self._thread.shutdown))

    def _begin(self) -> Recorder | MastreamError:
        """Make the recorder; return an error instead of raising it, since the future is kept."""
        try:
            return self._make()
        except Exception as error:
            return _noted(error)

    def _recorder(self) -> Recorder:
        made = self._made.result()
        if isinstance(made, MastreamError):
            raise _noted(made)
        return made

    def _write(self, mask: Mask) -> None:
        recorder = self._recorder()
        recorder.write(mask)
        if self._reached is not None:
            with suppress(OSError):  # a full disk is noticed by the other files
                self._reached.write_text(str(recorder.frames))

    def _close(self, losses: Losses) -> None:
        self._recorder().close(losses)

    def _abort(self) -> None:
        if isinstance(made := self._made.result(), Recorder):
            made.abort()

    def _wrote(self, writing: asyncio.Future[None]) -> None:
        failure = writing.exception()
        if failure is None:
            self.written += 1
            self._on_progress(self.written)
        self._release(failure)

    def _release(self, failure: BaseException | None) -> None:
        """Release a frame's credit, and keep the first failure."""
        if isinstance(failure, Exception) and self._failure is None and not self._over:
            self._failure = _noted(failure)
        self._credits.release()

    def _check(self) -> None:
        if self._failure is not None:
            raise _noted(self._failure)


def _noted(error: Exception) -> MastreamError:
    """Return an equal error that keeps nothing alive, with its traceback as a note: the reader who
    knows whether it matters may log it. The files may be gone since the video has ended."""
    kept = detached(error)
    for note in getattr(error, "__notes__", None) or format_exception(error):
        kept.add_note(note)
    return kept
