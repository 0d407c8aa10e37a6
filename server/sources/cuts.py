"""Where a video can be cut: key frames from which everything after them can be decoded alone.

A cut is right only if the pictures and times after it are those of a decoder that began at the
first packet. So a video is cut only if its packets leave no doubt, and otherwise not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from server.errors import MastreamError
from server.sources.demuxing import packets, packets_from
from server.sources.nal_units import BEGINS_ANEW, NalUnits
from server.sources.open_file import OpenFile
from server.sources.opening import open_video
from server.sources.rates import rhythm, tick

SAFE_CODECS = frozenset({
    "h264", "hevc", "vp9", "av1", "mpeg1video", "mpeg2video", "mjpeg", "ffv1", "prores", "dnxhd",
})  # fmt: skip
"""Codecs whose key frames let no later picture refer to an earlier one, unless it is shown before
the key frame, and that have one picture per packet."""

CLOSEST = Fraction(1, 50_000)
"""In seconds. If pictures are closer, rounding could change their times."""


class Uncut(StrEnum):
    """Why a video is segmented in one piece."""

    CODEC = "codec"
    TIMES = "times"
    EDIT_LIST = "edit_list"
    FORMAT_CHANGES = "format_changes"
    KEY_FRAMES = "key_frames"
    NOT_SEEKABLE = "not_seekable"
    DAMAGED = "damaged"
    NO_HORIZON = "no_horizon"
    SHORT = "short"


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """A key frame at which a video can be cut: its ``number`` in display order, its timestamps in
    ticks, and its time in seconds."""

    number: int
    pts: int
    dts: int | None
    time: Fraction


@dataclass(frozen=True, slots=True)
class Cuts:
    """The key frames at which a video of ``pictures`` pictures can be cut, the first picture
    included; none, and the reason, if it cannot be cut."""

    pictures: int
    keys: tuple[KeyFrame, ...] = ()
    reason: Uncut | None = None


def read_cuts(path: Path | OpenFile, rate: Fraction | None, max_pixels: int) -> Cuts:
    """Return where a file can be cut; it is read once and not decoded.

    ``rate`` is that of the file's description. Raises the errors of :func:`open_video`.
    """
    with open_video(path, max_pixels=max_pixels) as (container, stream):
        survey = _Survey(stream)
        try:
            for packet in packets(container, stream):
                if packet is not None and packet.size:
                    survey.add(packet)
        except FFmpegError:
            return Cuts(0, reason=Uncut.DAMAGED)
        return survey.cuts(rhythm(container, stream, rate).pause)


def can_seek(path: Path | OpenFile, keys: Iterable[KeyFrame], max_pixels: int) -> bool:
    """Return whether reading can begin at each of these key frames."""
    with open_video(path, max_pixels=max_pixels) as (container, stream):
        return all(_found(container, stream, key) for key in keys)


def _found(container: InputContainer, stream: VideoStream, key: KeyFrame) -> bool:
    try:
        return next(packets_from(container, stream, key.pts, key.dts)) is not None
    except (FFmpegError, MastreamError):
        return False


class _Survey:
    """The packets seen so far, in decoding order, and the first reason not to cut the video."""

    def __init__(self, stream: VideoStream) -> None:
        self._tick = tick(stream)
        self._units = NalUnits.of(stream)
        self._parameters: set[bytes] = set()
        self._times: list[int] = []
        self._keys: list[tuple[int, int | None]] = []
        codec = stream.codec_context.codec.canonical_name
        self._reason: Uncut | None = None if codec in SAFE_CODECS else Uncut.CODEC

    def add(self, packet: Packet[VideoStream]) -> None:
        """Take the next packet that contains a picture."""
        self._reason = self._reason or self._objection(packet)
        if packet.is_keyframe and self._reason is None and self._begins_anew(packet):
            self._keys.append((len(self._times), packet.dts))
        self._times.append(packet.pts or 0)

    def cuts(self, pause: Fraction) -> Cuts:
        """Return the result; ``pause`` is the longest plausible one between two pictures."""
        reason = self._reason or self._doubt(pause)
        keys = () if reason else tuple(self._clean_keys())
        if reason is None and (not keys or keys[0].number):
            reason, keys = Uncut.KEY_FRAMES, ()
        return Cuts(len(self._times), keys, reason)

    def _objection(self, packet: Packet[VideoStream]) -> Uncut | None:
        """Return the reason that one packet gives."""
        if packet.is_discard or packet.has_sidedata("skip_samples"):
            return Uncut.EDIT_LIST
        if packet.is_corrupt:
            return Uncut.DAMAGED
        if packet.pts is None:
            return Uncut.TIMES
        if packet.has_sidedata("new_extradata") or packet.has_sidedata("param_change"):
            return Uncut.FORMAT_CHANGES
        return Uncut.FORMAT_CHANGES if packet.has_sidedata("display_matrix") else None

    def _begins_anew(self, packet: Packet[VideoStream]) -> bool:
        if self._units is None:
            return True
        found = self._units.read(bytes(packet))
        self._parameters |= found.parameters
        if len(self._parameters) > 1:
            self._reason = Uncut.FORMAT_CHANGES
        return BEGINS_ANEW in found.kinds

    def _doubt(self, pause: Fraction) -> Uncut | None:
        """Return the reason that all times together give."""
        shown = sorted(self._times)
        gaps = [later - before for before, later in pairwise(shown)]
        if shown and shown[0] < 0:
            return Uncut.EDIT_LIST
        if gaps and not CLOSEST <= min(gaps) * self._tick <= max(gaps) * self._tick <= pause:
            return Uncut.TIMES
        return None

    def _clean_keys(self) -> Iterable[KeyFrame]:
        """Yield the key frames with all earlier packets shown before and all later ones after."""
        later = _least_from(self._times)
        latest, before = -1, 0
        for number, dts in self._keys:
            latest = max([latest, *self._times[before:number]])
            before = number
            pts = self._times[number]
            if latest < pts <= later[number]:
                yield KeyFrame(number, pts, dts, pts * self._tick)


def _least_from(times: Sequence[int]) -> list[int]:
    """Return for each place the smallest number from there on."""
    least = list(times)
    for place in range(len(least) - 2, -1, -1):
        least[place] = min(least[place], least[place + 1])
    return least
