"""Records the events of one session, between its worker and its sink."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np

from server.errors import MastreamError, detached
from server.frame import (
    AnyPixels,
    Dropped,
    Frame,
    Labels,
    Mask,
    Pixels,
    ResetCause,
    host_pixels,
)
from server.recordings.recording_file import encode
from server.recordings.records import (
    Failed,
    Lost,
    Masked,
    Opening,
    Pictured,
    Rebuilt,
    Record,
    Why,
)
from server.recordings.writer import Writer
from server.sinks.base import Sink
from server.sources.pictures.packets import Packet

BuildBlock = Callable[[AnyPixels, bytes | None], bytes]
"""Makes a block of a frame's pixels and packet, in the writer's thread."""

_FAST_PNG = (
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,  # for a camera's picture 13 % smaller than the default, and faster
    cv2.IMWRITE_PNG_STRATEGY_RLE,
)


class Recording:
    """Puts the events of one session into a writer; every call returns at once.

    Masks are recorded from the first one after the memory was emptied: a new session starts with an
    empty memory, and in a running session the caller resets it. So a replay starts in the same
    state as the recording. Mutable state: whether that mask has come, and the opening, until it is
    put before the first event; without events there is no file.
    """

    def __init__(self, name: str, opening: Opening, writer: Writer) -> None:
        self.name = name
        self._writer = writer
        self._opening: Opening | None = opening
        self._begun = False

    def __repr__(self) -> str:
        return f"<Recording {self.name} {self._writer!r}>"

    @property
    def ended(self) -> Why | None:
        """Return why it ended, or None while it records."""
        return self._writer.ended

    def mask(self, mask: Mask) -> None:
        """Record a frame that was segmented, including replayed frames."""
        self._begun = self._begun or mask.reset is not None
        if not self._begun or self.ended:
            return
        build = partial(_masked, _about(mask), mask.labels)
        self._put_picture(build, mask.frame, mask.labels.nbytes)

    def dropped(self, drops: Sequence[Dropped]) -> None:
        """Record frames that got no mask."""
        for cause in dict.fromkeys(drop.cause for drop in drops):
            seqs = tuple(drop.seq for drop in drops if drop.cause == cause)
            self._put(Lost(seqs=seqs, cause=str(cause)))

    def failed(self, frame: Frame, reset: ResetCause | None, error: Exception) -> None:
        """Record a frame whose step failed; ``reset`` is why its memory was emptied."""
        if self._begun or reset is not None:
            known = detached(error)
            record = Failed(
                **_picture_of(frame),
                stage="step",
                reset=None if reset is None else str(reset),
                code=known.code,
                detail=str(known),
            )
            self._put_picture(partial(_pictured, record), frame)

    def refused(self, packet: Packet, raw: tuple[int, int] | None, error: MastreamError) -> None:
        """Record a packet whose picture was refused; ``raw`` is the size of rgb24 pictures."""
        record = Failed(
            seq=packet.seq,
            picture="packet" if raw is None else "rgb24",
            size=raw or (0, 0),
            stage="decode",
            code=error.code,
            detail=str(error),
        )
        self._put_opening()
        self._writer.put(partial(encode, record, packet.data), len(packet.data))

    def rebuilt(self, seq: int) -> None:
        """Record that a past frame was segmented again, after the memory was lost."""
        if self._begun:
            self._put(Rebuilt(seq=seq))

    def end(self, why: Why = "closed") -> None:
        """End the recording; queued records are still written. Idempotent."""
        self._writer.end(why)

    def _put_picture(self, build: BuildBlock, frame: Frame, more_bytes: int = 0) -> None:
        """Put the block that ``build`` makes of the frame's pixels and packet, without the frame
        itself."""
        self._put_opening()
        packet_bytes = 0 if frame.packet is None else len(frame.packet)
        nbytes = more_bytes + frame.pixels.nbytes + packet_bytes
        self._writer.put(partial(build, frame.pixels, frame.packet), nbytes)

    def _put(self, record: Record) -> None:
        self._put_opening()
        self._writer.put(partial(encode, record))

    def _put_opening(self) -> None:
        opening, self._opening = self._opening, None
        if opening is not None:
            self._writer.put(partial(encode, opening))


class RecordedSink(Sink):
    """A sink that also records, while there is a ``recording``."""

    def __init__(self, inner: Sink) -> None:
        self._inner = inner
        self.recording: Recording | None = None

    @property
    def running(self) -> Recording | None:
        """Return the recording if it has not ended."""
        return None if self.recording is None or self.recording.ended else self.recording

    def __repr__(self) -> str:
        return f"<RecordedSink {self._inner!r} {self.recording!r}>"

    def mask(self, mask: Mask) -> None:
        if self.recording:
            self.recording.mask(mask)
        self._inner.mask(mask)

    def dropped(self, drops: Sequence[Dropped]) -> None:
        if self.recording:
            self.recording.dropped(drops)
        self._inner.dropped(drops)

    def failed(self, seq: int, error: Exception) -> None:
        self._inner.failed(seq, error)

    def faulted(self, frame: Frame, reset: ResetCause | None, error: Exception) -> None:
        if self.recording:
            self.recording.failed(frame, reset, error)
        self._inner.faulted(frame, reset, error)

    def replayed(self, mask: Mask) -> None:
        if self.recording:
            self.recording.mask(mask)
        self._inner.replayed(mask)

    def rebuilt(self, seq: int) -> None:
        if self.recording:
            self.recording.rebuilt(seq)
        self._inner.rebuilt(seq)


def sha256(values: Labels | Pixels) -> str:
    """Return the SHA-256 of an array's bytes in C order, in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()


def _about(mask: Mask) -> Masked:
    """Return the record of a mask, still without its hashes."""
    frame = mask.frame
    return Masked(
        **_picture_of(frame),
        pts=None if frame.pts is None else str(frame.pts),
        reset=None if mask.reset is None else str(mask.reset),
        replay=frame.replay,
        pixels="",
        mask="",
        filled=mask.filled,
        batch=mask.batch,
    )


def _picture_of(frame: Frame) -> dict[str, Any]:
    """Return the fields of Pictured."""
    kind = "png" if frame.packet is None else "packet" if frame.decoder else "rgb24"
    whole = frame.original is not None
    return {"seq": frame.seq, "picture": kind, "size": frame.size, "whole": whole}


def _masked(record: Masked, labels: Labels, picture: AnyPixels, packet: bytes | None) -> bytes:
    pixels = host_pixels(picture)
    hashes = {"pixels": sha256(pixels), "mask": sha256(labels)}
    return _pictured(record.model_copy(update=hashes), pixels, packet)


def _pictured(record: Pictured, picture: AnyPixels, packet: bytes | None) -> bytes:
    """Return the block of a record with its picture. Without a packet the picture is stored as PNG,
    which is lossless, smaller than raw, and read by the same decoder as clients' pictures."""
    return encode(record, _png(host_pixels(picture)) if packet is None else packet)


def _png(pixels: Pixels) -> bytes:
    ok, data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), _FAST_PNG)
    assert ok, "a picture of the model's size could not be encoded"
    return data.tobytes()
