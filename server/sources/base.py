"""The contract of a source: an async iterator of Frames that frees everything when left."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from server.frame import Frame


class Source(ABC):
    """Frames of one stream, already at the model's size.

    Used as ``async with source: async for frame in source``; leaving the block early stops the
    decoder and frees its thread and files. ``live`` says whether frames may be dropped: a camera
    goes on without us, a file waits. ``total`` is the number of frames where it is known.
    """

    live: bool = False
    total: int | None = None

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[Frame]:
        """The frames in order. Raises BadVideo or SourceFault where reading breaks."""

    @abstractmethod
    async def aclose(self) -> None:
        """Stop and free everything, at once, also when a camera hangs. Twice is harmless."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
