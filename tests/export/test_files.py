"""Files are written atomically."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.files import write_whole


def test_it_makes_the_folder_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.plan"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.plan"
    path.write_bytes(b"before")

    def half(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="no space"):
        write_whole(path, b"afterwards")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_two_that_write_one_file_do_not_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.plan"
    write = Path.write_bytes

    def interrupted(self: Path, content: bytes) -> int:
        monkeypatch.setattr(Path, "write_bytes", write)
        self.write_bytes(content[: len(content) // 2])
        write_whole(path, b"the other's")
        with self.open("ab") as file:
            return file.write(content[len(content) // 2 :])

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    write_whole(path, b"ours")
    assert path.read_bytes() == b"ours"
    assert list(tmp_path.iterdir()) == [path]
