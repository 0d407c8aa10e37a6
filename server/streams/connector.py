"""Connects one pulled stream to its source, one connection at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from server.errors import MastreamError
from server.sources.abandoned import abandoned_decoders
from server.streams.connection import Connection, TakeFrame
from server.streams.continuing import Continuing
from server.streams.definition import StreamDefinition
from server.streams.pulled_services import PulledServices
from server.streams.states import Broken, Deadline, Event, Finished, Hung

MAX_ABANDONED = 32
"""Maximum number of abandoned decoders, of all streams, that hang; beyond that a stream fails."""

CROWDED_TRIES = 5
"""How often a stream waits for hanging decoders to end before it fails."""

Report = Callable[[Event], None]


class Connector:
    """Opens and closes the connections of one stream.

    Mutable state: the open connection, if any, the number of connections so far, and how often in a
    row too many decoders hung.
    """

    def __init__(
        self, definition: StreamDefinition, services: PulledServices, continuing: Continuing
    ) -> None:
        self._definition = definition
        self._services = services
        self._continuing = continuing
        self._connection: Connection | None = None
        self._crowded = 0
        self.count = 0
        """The number of connections so far."""

    def __repr__(self) -> str:
        return f"<Connector {self._connection!r} of {self.count}>"

    @property
    def is_open(self) -> bool:
        """Return whether there is a connection."""
        return self._connection is not None

    def open(self, take: TakeFrame, settled: Callable[[], Awaitable[None]], report: Report) -> None:
        """Connect: ``take`` is awaited for every frame, ``settled`` after the last one of a file,
        and ``report`` receives the reason why there are no more frames, or no connection."""
        if abandoned_decoders() >= MAX_ABANDONED:
            report(self._too_many_hang())
            return
        self._crowded = 0
        self.count += 1
        if self.count > 1:
            self._services.reconnected()
        try:
            self._connection = self._opened(self.count, settled)
        except MastreamError as error:
            report(Broken(error.code, str(error), refused=True))
            return
        end = Finished(self._definition.is_file, self._definition.loop)
        self._connection.begin(take, end, report)

    async def close(self) -> None:
        """Close the connection. Idempotent, even if cancelled."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    def overdue(self) -> Event:
        """Return the event for a deadline that has passed."""
        return self._connection.overdue() if self._connection else Deadline(0.0)

    def forget_crowds(self) -> None:
        """Count hanging decoders anew, since a person has resumed the stream."""
        self._crowded = 0

    def _opened(self, number: int, settled: Callable[[], Awaitable[None]]) -> Connection:
        start = self._continuing.start_of(number)
        source = self._services.open_source(self._definition, self._services.worker.spec, start)
        hurries = partial(self._continuing.hurries, number)
        return Connection(number, source, self._services.clock, hurries, settled)

    def _too_many_hang(self) -> Event:
        """Try again for a while: the decoder of a silent camera ends at its own time limit."""
        self._crowded += 1
        if self._crowded > CROWDED_TRIES:
            self._crowded = 0
            return Hung()
        detail = "Too many decoders hang: the stream waits until some have ended."
        return Broken("decoder_hung", detail)
