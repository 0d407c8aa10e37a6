"""The parts of containers, and damage to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.damaging import MAX_BYTES
from tests.fuzz.openings import CORPUS, known
from tests.fuzz.structure import Number, structure


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_parts_and_numbers_lie_inside_of_the_file(path: Path) -> None:
    data = path.read_bytes()
    found = structure(data)
    assert len(found.parts) >= 4 and len(found.numbers) >= 10
    assert all(0 <= begin < end <= len(data) for begin, end in found.parts)
    assert structure(data[: len(data) // 2]).parts


def test_a_box_has_its_size_and_the_numbers_in_it() -> None:
    inner = b"\0\0\0\x10stsz" + bytes(8)
    found = structure(b"\0\0\0\x08ftyp" + b"\0\0\0\x18moov" + inner)
    assert found.parts == ((0, 8), (8, 32), (16, 32))
    assert found.numbers == tuple(Number(place, 4) for place in (0, 8, 16, 24, 28))


def test_an_element_has_its_size_and_its_value() -> None:
    found = structure(b"\x1aE\xdf\xa3\x80" + b"\xae\x83" + b"\xd7\x81\x01")
    assert found.parts == ((0, 5), (5, 10), (7, 10))
    assert found.numbers == (Number(4, 1), Number(6, 1), Number(7, 3), Number(8, 1), Number(9, 1))


def test_a_chunk_is_padded_to_two_bytes() -> None:
    found = structure(b"RIFF\x12\0\0\0AVI idx1\x01\0\0\0x\0")
    assert found.parts == ((0, 22), (12, 22))
    assert Number(16, 4, "little") in found.numbers


def test_the_same_case_is_always_the_same() -> None:
    containers, again = known(), known()
    cases = [containers.case(7, number) for number in range(300)]
    assert cases == [again.case(7, number) for number in range(300)]
    assert len({data for _, data in cases}) > 290
    assert {name for name, _ in cases} == set(containers.names)
    assert all(len(data) <= MAX_BYTES for _, data in cases)
    assert cases != [containers.case(8, number) for number in range(300)]
