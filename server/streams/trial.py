"""Trying an address before a stream is added: open it, take the first picture, close it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from models.spec import ModelSpec
from server.errors import NoCapacity, SourceFault, SourceSilent
from server.frame import Frame
from server.sources.abandoned import abandoned_decoders
from server.sources.base import Source
from server.streams.connector import MAX_ABANDONED
from server.streams.definition import StreamDefinition
from server.streams.pulled_source import OpenSource

MAX_TRIALS = 4
"""Maximum number of addresses that are tried at the same time; each holds a connection and a
decoder."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The first picture of an address, and the seconds until it was decoded."""

    frame: Frame
    seconds: float


class Trials:
    """Tries addresses. Further ones are refused rather than queued, since a person is waiting.

    ``seconds`` is how long a first picture may take. Mutable state: how many are being tried.
    """

    def __init__(
        self,
        open_source: OpenSource,
        spec: ModelSpec,
        seconds: float,
    ) -> None:
        self._open_source = open_source
        self._spec = spec
        self._seconds = seconds
        self._running = 0

    def __repr__(self) -> str:
        return f"<Trials {self._running} of {MAX_TRIALS}>"

    async def first_picture(self, definition: StreamDefinition) -> Trial:
        """Return the first picture at this address; its connection is closed on return.

        Raises SourceFault if there is none, BadRequest if the server may not open it, NoCapacity
        if too many are being tried.
        """
        if self._running >= MAX_TRIALS or abandoned_decoders() >= MAX_ABANDONED:
            raise NoCapacity("Too many addresses are being tested: try again in a moment.")
        self._running += 1
        try:
            return await self._take(definition)
        finally:
            self._running -= 1

    async def _take(self, definition: StreamDefinition) -> Trial:
        began = time.monotonic()
        source = self._open_source(definition, self._spec)
        try:
            async with asyncio.timeout(self._seconds), source:
                frame = await anext(aiter(source))
                return Trial(frame, time.monotonic() - began)
        except StopAsyncIteration:
            raise SourceFault("The stream ended before its first picture.") from None
        except TimeoutError:
            raise self._silence(source) from None

    def _silence(self, source: Source) -> SourceFault:
        if source.last_packet is None:
            return SourceSilent(
                f"The camera sent nothing for {self._seconds:g} s: check its address and port."
            )
        return SourceFault(
            f"The camera sends data, but no picture could be decoded for {self._seconds:g} s: "
            "check its codec and key frame interval."
        )
