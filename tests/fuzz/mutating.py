"""Changes to known inputs: random, but the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Sequence

MAX_BYTES = 2**16

TELLING = (
    b"\x00", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\r\n", b"\n",
    b"--", b"%", b'"', b"\\", b"9" * 30, b"-1", b"1e999", b"NaN", b"null", b"{", b"[" * 40, b"=",
    b",", b":", b"@", b"$", b"\xc3\x28", b"\xed\xa0\x80", b"\\ud800", b"bytes=",
    b"Content-Length: ",
)  # fmt: skip
"""What parsers stumble over."""


def mutated(seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """Return one of the seeds with one to eight changes; now and then noise."""
    if chance.random() < 0.02:
        return chance.randbytes(chance.randrange(200))
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 8)):
        _change(data, seeds, chance)
    return bytes(data[:MAX_BYTES])


def _change(data: bytearray, seeds: Sequence[bytes], chance: random.Random) -> None:
    place = chance.randrange(len(data) + 1)
    end = min(len(data), place + chance.choice((1, 1, 2, 4, 16, 200)))
    match chance.randrange(6):
        case 0:
            data[place:end] = chance.randbytes(end - place)
        case 1:
            del data[place:end]
        case 2:
            data[place:place] = data[place:end] * chance.choice((1, 2, 30))
        case 3:
            data[place:end] = chance.choice(TELLING)
        case 4:
            data[place:place] = chance.choice(TELLING)
        case _:
            other = chance.choice(seeds)
            begin = chance.randrange(len(other) + 1)
            data[place:end] = other[begin : begin + chance.choice((1, 4, 40))]
