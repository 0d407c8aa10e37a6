"""The contract of a sink: it takes a Mask and never blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from server.frame import Dropped, Mask


class Sink(ABC):
    """Where a session's results go. Every call returns at once."""

    @abstractmethod
    def mask(self, mask: Mask) -> None:
        """A frame was segmented."""

    @abstractmethod
    def dropped(self, drops: Sequence[Dropped]) -> None:
        """Frames that will get no mask."""

    @abstractmethod
    def failed(self, seq: int, error: Exception) -> None:
        """A frame whose step failed; the stream goes on."""
