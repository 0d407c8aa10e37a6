"""A file is sent unchanged, with the chosen fields."""

from __future__ import annotations

from pathlib import Path

import pytest

from clients.python.errors import BadFootage
from clients.python.parted import CHUNK_BYTES
from clients.python.upload_file import chunks_of, size_of, upload_fields

pytestmark = pytest.mark.anyio


def test_only_fields_that_were_chosen_are_sent() -> None:
    assert upload_fields((), (), None, None) == {}
    assert upload_fields(["masks.json", "classes.csv"], iter(["road"]), 0.0, "https://h/x") == {
        "artefacts": "masks.json,classes.csv",
        "classes": "road",
        "opacity": "0.0",
        "callback_url": "https://h/x",
    }


async def test_a_file_comes_in_chunks_that_are_reported(tmp_path: Path) -> None:
    data, reported = bytes(range(256)) * 1500, []
    (tmp_path / "a").write_bytes(data)
    assert size_of(tmp_path / "a") == len(data)
    chunks = [chunk async for chunk in chunks_of(tmp_path / "a", reported.append)]
    assert b"".join(chunks) == data
    assert reported == [CHUNK_BYTES, len(data) - CHUNK_BYTES]


async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFootage, match="absent cannot be read: No such file"):
        size_of(tmp_path / "absent")
    with pytest.raises(BadFootage, match="absent cannot be read: No such file"):
        await anext(chunks_of(tmp_path / "absent", lambda _: None))
