"""The sums over the frames of a video, or of one piece of it, that end summary.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from protocol import STAGES
from server.frame import Losses, Mask

_STAGES = STAGES[: STAGES.index("encode")]  # a video's masks are not encoded singly

_SUMMED = ("areas", "seen", "decoders", "losses", "times")


class Totals:
    """Grows frame by frame with :meth:`add`, or piece by piece with :meth:`merge`."""

    def __init__(self) -> None:
        self._frames = 0
        self._sums: dict[str, dict[str, float]] = {name: {} for name in _SUMMED}
        self._resets: list[dict[str, Any]] = []
        self._largest: dict[str, float] = {}

    def add(self, mask: Mask, shares: Mapping[str, float]) -> None:
        """Count a frame whose mask has these ``shares`` of classes."""
        times: dict[str, float] = {stage: getattr(mask.times, stage) for stage in _STAGES}
        _add(self._sums["areas"], shares)
        _add(self._sums["seen"], dict.fromkeys(shares, 1))
        _add(self._sums["decoders"], {mask.frame.decoder: 1})
        _add(self._sums["times"], times)
        _raise(self._largest, times)
        if mask.reset is not None:
            self._resets.append({"frame": mask.frame.seq, "cause": mask.reset.value})
        self._frames += 1

    def note(self, losses: Losses) -> None:
        """Add the losses in decoding."""
        _add(self._sums["losses"], asdict(losses))

    def to_part(self) -> dict[str, Any]:
        """Return everything as a JSON object for :meth:`merge`."""
        return {
            "frames": self._frames,
            "sums": self._sums,
            "resets": self._resets,
            "largest": self._largest,
        }

    def merge(self, part: Mapping[str, Any]) -> None:
        """Add the totals of the next piece."""
        self._frames += part["frames"]
        for name, sums in self._sums.items():
            _add(sums, part["sums"][name])
        self._resets += part["resets"]
        _raise(self._largest, part["largest"])

    def to_dict(self) -> dict[str, Any]:
        """Return the last fields of summary.json."""
        count = max(1, self._frames)
        sums = self._sums
        return {
            "totals": {
                "frames": self._frames,
                "areas": {name: round(area / count, 6) for name, area in sums["areas"].items()},
                "seen": sums["seen"],
                "decoders": sums["decoders"],
                "losses": {**asdict(Losses()), **sums["losses"]},
            },
            "resets": self._resets,
            "timing": {
                stage: {"mean_ms": round(sums["times"][stage] / count, 3), "max_ms": largest}
                for stage, largest in self._largest.items()
            },
        }


def _add(sums: dict[str, float], more: Mapping[str, float]) -> None:
    for name, number in more.items():
        sums[name] = sums.get(name, 0) + number


def _raise(largest: dict[str, float], others: Mapping[str, float]) -> None:
    for name, number in others.items():
        largest[name] = max(number, largest.get(name, 0.0))
