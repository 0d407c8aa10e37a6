"""The contract of an artefact: one file made from a video's masks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction

from server.frame import Labels, Losses, Mask


@dataclass(frozen=True, slots=True, eq=False)
class Segmented:
    """One segmented picture: ``labels`` at the video's size, ``pts`` in seconds.

    ``duration`` is how long it is shown, in seconds, unless another follows; None if unknown.
    """

    mask: Mask
    labels: Labels
    pts: Fraction
    duration: Fraction | None = None


class Artefact(ABC):
    """One file that grows with every mask. Errors of the file or encoder are not translated.

    A row of the recorder's table is made with (path, spec, info): the file to write, the model
    whose classes the labels are, and the video's size, rate and tick.
    """

    @abstractmethod
    def add(self, segmented: Segmented) -> None:
        """Append one picture; pictures come in display order."""

    def note(self, losses: Losses) -> None:  # noqa: B027  # most have no place for it
        """Record the video's losses; called once, before :meth:`finish`."""

    @abstractmethod
    def finish(self) -> None:
        """Complete and close the file."""

    @abstractmethod
    def discard(self) -> None:
        """Close the file without completing it. Does nothing after :meth:`finish`."""
