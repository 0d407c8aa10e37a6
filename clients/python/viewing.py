"""Watching a camera across lost connections and restarts of the server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from clients.python.errors import ClientError
from clients.python.mask import Mask
from clients.python.reconnecting import Backoff, Lost, may_pass, may_resume
from clients.python.retries import Retries
from protocol import MemoryState


@dataclass(frozen=True, slots=True)
class Returned:
    """A viewer is connected again, ``after`` seconds without a connection.

    ``memory`` is the state of the memory when the server began with the stream: NEW, if it has had
    the stream from its first frame on; REBUILT, if it has taken it over and masks equal those of an
    unbroken stream; COLD, if the memory was empty.
    """

    after: float
    memory: MemoryState = MemoryState.NEW


OnViewerEvent = Callable[[Lost | Returned], None]
View = Callable[[Callable[[MemoryState], None]], AsyncGenerator[Mask]]
"""Connects once and yields masks; once it is connected, calls its argument with the state of the
stream's memory."""


class Viewing:
    """Connects again as often as it takes.

    An error before the first connection is raised, since the address is probably wrong. Mutable
    state: whether there was a connection, and the attempts to connect again.
    """

    def __init__(self, view: View, backoff: Backoff, on_event: OnViewerEvent | None) -> None:
        self._view = view
        self._retries = Retries(backoff, self._report)
        self._on_event = on_event
        self._has_begun = False

    async def masks(self) -> AsyncGenerator[Mask]:
        """Yield the masks of one connection after the other, until the stream ends.

        Raises a ClientError if it cannot be watched any more, or if there was no connection for
        ``backoff.give_up`` seconds.
        """
        while True:
            try:
                async with aclosing(self._view(self._begin)) as masks:
                    async for mask in masks:
                        yield mask
            except ClientError as error:
                await self._wait(error)
            else:
                return

    def _begin(self, memory: MemoryState) -> None:
        after, is_first = self._retries.seconds, not self._has_begun
        self._has_begun = True
        self._retries.succeeded()
        if not is_first:
            self._report(Returned(after, memory))

    async def _wait(self, error: ClientError) -> None:
        """Wait until it is time to connect again. Raises the error if another attempt would not
        help."""
        if not self._has_begun or not (may_resume(error) or may_pass(error)):
            raise error
        await self._retries.wait(error)

    def _report(self, event: Lost | Returned) -> None:
        if self._on_event is not None:
            self._on_event(event)
