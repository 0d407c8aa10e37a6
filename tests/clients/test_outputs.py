from __future__ import annotations

import os
from pathlib import Path

import pytest

from clients.python.errors import BadOutput
from clients.python.outputs import check_file, results_folder, whole_file, write_file


def test_looking_at_a_place_changes_nothing(tmp_path: Path) -> None:
    there, link = tmp_path / "there", tmp_path / "link"
    there.write_text("old")
    link.symlink_to(tmp_path / "absent")
    before = there.stat().st_mtime_ns
    for place in (there, link, tmp_path / "new", Path("/dev/null")):
        check_file(place)
    assert (there.read_text(), there.stat().st_mtime_ns) == ("old", before)
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "there"]


@pytest.mark.parametrize("place", [".", "absent/x", "file/x", "x" * 300, "loop"])
def test_a_place_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(BadOutput):
        check_file(tmp_path / place)
    with pytest.raises(BadOutput, match="cannot be written"):
        write_file(tmp_path / place, "text")


def test_a_pipe_is_not_opened_to_be_looked_at(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    check_file(tmp_path / "pipe")


def test_results_move_in_together_over_older_ones(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    out.mkdir(parents=True)
    (out / "one").write_text("old")
    with results_folder(out) as folder:
        (folder / "one").write_text("1")
        (folder / "two").write_text("2")
        assert (out / "one").read_text() == "old"
    assert {path.name: path.read_text() for path in out.iterdir()} == {"one": "1", "two": "2"}


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_of_what_broke_off(
    tmp_path: Path, there: bool, raised: type[BaseException]
) -> None:
    out = tmp_path / "a" / "b"
    if there:
        out.mkdir(parents=True)
    with pytest.raises(raised), results_folder(out) as folder:
        (folder / "one").write_text("1")
        raise raised
    assert [path.name for path in tmp_path.rglob("*")] == (["a", "b"] if there else [])


def test_a_folder_in_the_way_of_one_result_keeps_out_all(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    with pytest.raises(BadOutput, match="two is a folder"), results_folder(tmp_path) as folder:
        (folder / "one").touch()
        (folder / "two").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["two"]


@pytest.mark.parametrize("place", ["file", "file/deep", "x" * 300])
def test_a_folder_that_cannot_be_made(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadOutput, match="cannot be written"), results_folder(tmp_path / place):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(ValueError, match="half-way"), whole_file(path) as part:
        part.write_text("half")
        raise ValueError("half-way")
    assert list(tmp_path.iterdir()) == []
    write_file(path, "old")
    with whole_file(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("x.json", "new")]


def test_a_pipe_is_written_to_as_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with whole_file(tmp_path / "pipe") as part:
        assert part == Path(os.path.realpath(tmp_path / "pipe"))
    assert (tmp_path / "pipe").is_fifo()
