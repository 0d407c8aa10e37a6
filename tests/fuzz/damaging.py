"""Changes to containers that most demuxers still open: to numbers, to the order of the parts, and
to the bytes of a picture."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from tests.fuzz.structure import Number, Structure, structure

MAX_BYTES = 2**16

_INTERESTING = (0, 1, 2, 7, 8, 16, 255, 256, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


class Containers:
    """Known containers by name, whose structure is found once."""

    def __init__(self, known: Mapping[str, bytes]) -> None:
        assert known
        self.names: Sequence[str] = sorted(known)
        self._known = known
        self._structures = {name: structure(data) for name, data in known.items()}

    def case(self, seed: int, number: int) -> tuple[str, bytes]:
        """Return the name of a container and its bytes with one to four changes.

        The same seed and number always give the same.
        """
        chance = random.Random(f"{seed}:{number}")
        name = chance.choice(self.names)
        data, found = bytearray(self._known[name]), self._structures[name]
        for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
            _change(data, found, chance)
        return name, bytes(data[:MAX_BYTES])


def _change(data: bytearray, found: Structure, chance: random.Random) -> None:
    """Change one thing; places are those of the original, so that later changes may hit others."""
    match chance.randrange(10):
        case 0 | 1 | 2 | 3 if found.numbers:
            _renumber(data, chance.choice(found.numbers), chance)
        case 4 if found.parts:
            begin, end = chance.choice(found.parts)
            del data[begin:end]
        case 5 if found.parts:
            begin, end = chance.choice(found.parts)
            data[end:end] = data[begin:end] * chance.choice((1, 1, 2, 20))
        case 6 if found.parts:
            begin, end = chance.choice(found.parts)
            place, _ = chance.choice(found.parts)
            part = data[begin:end]
            data[place : place + len(part)] = part
        case 7:
            del data[chance.randrange(len(data) + 1) :]
        case _:
            _flip(data, chance)


def _renumber(data: bytearray, number: Number, chance: random.Random) -> None:
    begin, end = number.place, number.place + number.size
    order = "big" if number.order == "big" else "little"
    value = int.from_bytes(data[begin:end], order)
    chosen = chance.choice((
        chance.choice(_INTERESTING), value + 1, value - 1, value * 2, value // 2, -value,
        value ^ (1 << chance.randrange(8 * number.size)), chance.getrandbits(8 * number.size),
    ))  # fmt: skip
    data[begin:end] = (chosen % 256**number.size).to_bytes(number.size, order)


def _flip(data: bytearray, chance: random.Random) -> None:
    """Change single bits, most often near each other: inside of one picture or one header."""
    if not data:
        return
    begin = chance.randrange(len(data))
    for _ in range(chance.choice((1, 2, 8))):
        place = min(len(data) - 1, begin + chance.randrange(64))
        data[place] ^= 1 << chance.randrange(8)
