"""Files of videos in a folder or bucket."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.errors import BadRequest, Fault, NotFound
from server.videos.storage import Storage


@pytest.fixture(params=["file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return f"file://{tmp_path}/storage"
    found: str = request.getfixturevalue("bucket")
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "masks.mkv"
    file.write_bytes(bytes(range(256)))
    return file


def test_a_file_is_stored_read_in_parts_and_removed(url: str, file: Path) -> None:
    storage = Storage(url)
    with pytest.raises(NotFound):
        storage.find("v", "masks.mkv")
    storage.put("v", "masks.mkv", file)
    storage.put("other", "masks.mkv", file)
    found = storage.find("v", "masks.mkv")
    assert found.nbytes == 256
    assert abs(found.modified.timestamp() - file.stat().st_mtime) < 60
    assert found.read(0, 256) == file.read_bytes()
    assert found.read(10, 12) == b"\x0a\x0b"
    storage.remove("v")
    with pytest.raises(NotFound):
        found.read(0, 1)
    assert storage.find("other", "masks.mkv").nbytes == 256
    storage.remove("v")


def test_a_file_is_replaced(url: str, file: Path) -> None:
    storage = Storage(url)
    storage.put("v", "masks.mkv", file)
    storage.find("v", "masks.mkv")
    file.write_bytes(b"new")
    storage.put("v", "masks.mkv", file)
    assert Storage(url).find("v", "masks.mkv").nbytes == 3
    assert storage.find("v", "masks.mkv").nbytes == 3


def test_a_storage_that_fails_is_a_fault(bucket: str, file: Path) -> None:
    assert bucket
    with pytest.raises((Fault, NotFound)):
        Storage("s3://there-is-no-such-bucket/x").put("v", "masks.mkv", file)


@pytest.mark.parametrize("url", ["nonsense://x", "/mnt/results", "://x"])
def test_an_unknown_storage_is_refused(url: str) -> None:
    with pytest.raises(BadRequest, match="MASTREAM_VIDEOS__STORAGE"):
        Storage(url)
