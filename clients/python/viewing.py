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

    ``memory`` says how the server began with the stream: NEW, if it has had it from the first frame
    on; REBUILT, if it has taken it over and masks equal those of an unbroken stream; COLD, if its
    memory was empty then.
    """

    after: float
    memory: MemoryState = MemoryState.NEW


OnViewerEvent = Callable[[Lost | Returned], None]
View = Callable[[Callable[[MemoryState], None]], AsyncGenerator[Mask]]
"""Connects once and yields masks; calls its argument, with what the server says of the stream's
memory, once it is connected."""


class Viewing:
    """Connects again as often as it takes.

    What fails before the first connection is raised, as it is likely to be a wrong address.
    Mutable state: whether there was a connection, and the attempts to connect again.
    """

    def __init__(self, view: View, backoff: Backoff, on_event: OnViewerEvent | None) -> None:
        self._view = view
        self._retries = Retries(backoff, self._tell)
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
            self._tell(Returned(after, memory))

    async def _wait(self, error: ClientError) -> None:
        """Wait until it is time to connect again. Raises the error if that is no use."""
        if not self._has_begun or not (may_resume(error) or may_pass(error)):
            raise error
        await self._retries.wait(error)

    def _tell(self, event: Lost | Returned) -> None:
        if self._on_event is not None:
            self._on_event(event)
