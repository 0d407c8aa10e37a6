"""The contract of a source: an async iterator of Frames that frees everything when left."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from server.frame import Frame


class Source(ABC):
    """Frames of one stream, already at the model's size.

    Use it as ``async with source: async for frame in source``; leaving the block early stops the
    decoder and frees its thread and files. ``live`` says whether frames may be dropped: a camera
    does not wait for its reader, a file does. ``total`` is the number of frames, None if unknown.
    """

    live: bool = False
    total: int | None = None

    @property
    def last_packet(self) -> float | None:
        """Return when data of a live source last arrived (time.monotonic()); None before the
        first."""
        return None

    @property
    def last_frame(self) -> float | None:
        """Return when a live source last decoded a picture (time.monotonic()); None before the
        first."""
        return None

    @property
    def lost(self) -> int:
        """Return how many frames of a live source were dropped because nobody took them in time."""
        return 0

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[Frame]:
        """Iterate over the frames in order. Raises BadVideo or SourceFault if reading fails."""

    @abstractmethod
    async def aclose(self) -> None:
        """Stop and free everything without delay, even if a camera hangs. Idempotent."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
