"""The contract of a sink: it takes a Mask and never blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from server.frame import Dropped, Frame, Mask, ResetCause


class Sink(ABC):
    """The receiver of a session's results. Every call returns at once."""

    @abstractmethod
    def mask(self, mask: Mask) -> None:
        """Receive the mask of a frame."""

    @abstractmethod
    def dropped(self, drops: Sequence[Dropped]) -> None:
        """Receive the frames that will get no mask."""

    @abstractmethod
    def failed(self, seq: int, error: Exception) -> None:
        """Receive the error of a frame whose step failed; the stream continues."""

    def faulted(  # noqa: B027  most sinks have no use for it
        self, frame: Frame, reset: ResetCause | None, error: Exception
    ) -> None:
        """Receive the frame whose failure :meth:`failed` reports, and why its memory was emptied
        before its step, if it was."""

    def replayed(self, mask: Mask) -> None:  # noqa: B027  as above
        """Receive the mask of a replayed frame, which is not sent to anybody."""

    def rebuilt(self, seq: int) -> None:  # noqa: B027  as above
        """Be notified that a past frame was segmented again, to rebuild a lost memory."""
