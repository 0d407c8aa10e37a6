"""Segments a recording again, alone, and compares every mask with the recorded one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from models.spec import ModelSpec, SpecError
from server.engines.base import Engine, Memory
from server.errors import BadRecording, Conflict, TooLarge, Undecodable
from server.frame import AnyPixels, host_pixels
from server.recordings.recording import sha256
from server.recordings.recording_file import Block
from server.recordings.records import Masked, Opening, Record
from server.sources.packets import Packet, PacketDecoder


@dataclass(frozen=True, slots=True)
class Replayed:
    """A recorded frame and what came out of its replay.

    ``error`` says why its picture cannot be decoded here, empty if it can. ``pixels`` and ``mask``
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
            return f"its picture cannot be decoded here: {self.error.rstrip('.')}"
        if self.pixels != was.pixels:
            return f"its picture was decoded to {was.pixels}, here to {self.pixels}"
        if self.filled != was.filled:
            return f"the memory held {was.filled} frames, here {self.filled}"
        if self.mask != was.mask:
            return f"its mask was {was.mask}, here it is {self.mask} (memory filled {was.filled})"
        return ""


def check_model(opening: Opening, spec: ModelSpec) -> None:
    """Raise BadRecording if the recorded model is unreadable, Conflict if this is another."""
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
) -> Iterator[Record | Replayed]:
    """Yield the outcome of every frame that was segmented, and every other record as it is.

    ``blocks`` are those after the Opening. Raises what reading them raises, and what a step does.
    """
    spec = engine.spec
    memory = engine.blank()
    for record, payload in blocks:
        if not isinstance(record, Masked):
            yield record
            continue
        raw = record.size if record.picture == "rgb24" else None
        decoder = PacketDecoder(spec.height, spec.width, limit_pixels, raw)
        try:
            pixels = decoder.decode(Packet(payload, record.seq, 0.0)).pixels
        except (Undecodable, TooLarge) as error:
            yield Replayed(record, error=str(error))
            continue
        outcome, memory = _step(engine, record, pixels, memory)
        yield outcome


def _step(
    engine: Engine, record: Masked, pixels: AnyPixels, memory: Memory
) -> tuple[Replayed, Memory]:
    before = engine.blank() if record.reset else memory
    filled = engine.filled(before)
    (labels,), (after,) = engine.step([pixels], [before])
    hashes = sha256(host_pixels(pixels)), sha256(labels)
    return Replayed(record, *hashes, filled), after


def _identity(spec: ModelSpec) -> tuple[object, ...]:
    return spec.name, spec.fingerprint, spec.height, spec.width, spec.precision, spec.weights


def _named(spec: ModelSpec) -> str:
    mark = spec.fingerprint[:12] or "no fingerprint"
    return f"{spec.name} ({spec.width}x{spec.height}, {spec.precision}, {mark})"
