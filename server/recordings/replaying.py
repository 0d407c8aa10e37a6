"""Segments a recording again, alone, and compares every mask with the recorded one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from models.spec import ModelSpec, SpecError
from server.engines.base import Engine, Memory
from server.errors import BadRecording, Conflict, EngineFault, TooLarge, Undecodable
from server.frame import AnyPixels, host_pixels
from server.recordings.recording import sha256
from server.recordings.recording_file import Block
from server.recordings.records import Failed, Masked, Opening, Pictured, Record
from server.sources.pictures.packets import Packet, PacketDecoder


@dataclass(frozen=True, slots=True)
class Replayed:
    """A recorded frame and the result of its replay.

    ``error`` says why it cannot be segmented here, empty if it can. ``pixels`` and ``mask``
    are hashes as in Masked, ``filled`` is how many frames the memory held.
    """

    record: Masked
    pixels: str = ""
    mask: str = ""
    filled: int = 0
    error: str = ""

    @property
    def difference(self) -> str:
        """Return what differs from the recording, as part of a sentence; empty if nothing does."""
        was = self.record
        if self.error:
            return self.error.rstrip(".")
        if self.pixels != was.pixels:
            return f"its picture was decoded to {was.pixels}, here to {self.pixels}"
        if self.filled != was.filled:
            return f"the memory held {was.filled} frames, here {self.filled}"
        if self.mask != was.mask:
            return f"its mask was {was.mask}, here it is {self.mask} (memory filled {was.filled})"
        return ""


@dataclass(frozen=True, slots=True)
class Retried:
    """A frame that failed when it was recorded, and its result here."""

    record: Failed
    outcome: str


def check_model(opening: Opening, spec: ModelSpec) -> None:
    """Raise BadRecording if the recorded model is unreadable, Conflict if this model is another
    one."""
    try:
        recorded = ModelSpec.from_dict(opening.model)
    except SpecError as error:
        raise BadRecording("The recording does not describe its model; record again.") from error
    if _identity(recorded) != _identity(spec):
        raise Conflict(
            f"The recording is of the model {_named(recorded)}, but this is {_named(spec)}; give "
            "the recorded one with --model and --engine."
        )


def replay(
    blocks: Iterable[Block], engine: Engine, limit_pixels: int
) -> Iterator[Record | Replayed | Retried]:
    """Yield the outcome of every frame, and every other record as it is.

    ``blocks`` are those after the Opening. Raises the errors of reading them.
    """
    memory = engine.blank()
    for record, payload in blocks:
        match record:
            case Masked():
                outcome, memory = _again(engine, record, payload, memory, limit_pixels)
                yield outcome
            case Failed():
                yield _retried(engine, record, payload, memory, limit_pixels)
            case _:
                yield record


def _again(
    engine: Engine, record: Masked, payload: bytes, memory: Memory, limit_pixels: int
) -> tuple[Replayed, Memory]:
    """Segment a frame; return the outcome and the memory to continue with."""
    try:
        pixels = _decode(engine.spec, record, payload, limit_pixels)
        before = engine.blank() if record.reset else memory
        filled = engine.filled(before)
        (labels,), (after,) = engine.step([pixels], [before])
    except (Undecodable, TooLarge) as error:
        return Replayed(record, error=f"its picture cannot be decoded here: {error}"), memory
    except EngineFault as error:
        return Replayed(record, error=f"its step fails here: {error}"), memory
    hashes = sha256(host_pixels(pixels)), sha256(labels)
    return Replayed(record, *hashes, filled), after


def _retried(
    engine: Engine, record: Failed, payload: bytes, memory: Memory, limit_pixels: int
) -> Retried:
    """Try a frame that failed; the memory is not kept."""
    try:
        pixels = _decode(engine.spec, record, payload, limit_pixels)
        if record.stage == "decode":
            return Retried(record, "its picture can be decoded here")
        engine.step([pixels], [engine.blank() if record.reset else memory])
    except (Undecodable, TooLarge):
        return Retried(record, "its picture cannot be decoded here either")
    except EngineFault as error:
        return Retried(record, f"its step fails here too: {error}")
    return Retried(record, "its step succeeds here")


def _decode(spec: ModelSpec, record: Pictured, payload: bytes, limit_pixels: int) -> AnyPixels:
    raw = record.size if record.picture == "rgb24" else None
    decoder = PacketDecoder(spec.height, spec.width, limit_pixels, raw, keep_original=record.whole)
    return decoder.decode(Packet(payload, record.seq, 0.0)).pixels


def _identity(spec: ModelSpec) -> tuple[object, ...]:
    return spec.name, spec.fingerprint, spec.height, spec.width, spec.precision, spec.weights


def _named(spec: ModelSpec) -> str:
    mark = spec.fingerprint[:12] or "no fingerprint"
    return f"{spec.name} ({spec.width}x{spec.height}, {spec.precision}, {mark})"
