"""A server's name: created once for each folder, and never guessed if the file is damaged."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from server.cluster.identity import FILE, VIDEOS_FILE, server_name, videos_name
from server.errors import Fault


def test_a_folder_keeps_its_name(tmp_path: Path) -> None:
    name = server_name(tmp_path / "new")
    assert server_name(tmp_path / "new") == name
    assert server_name(tmp_path / "other") != name


def test_servers_that_share_a_folder_of_videos_give_it_one_name(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        names = set(threads.map(videos_name, [tmp_path / "new"] * 32))
    assert len(names) == 1 and names != {server_name(tmp_path / "new")}
    assert {path.name for path in (tmp_path / "new").iterdir()} == {FILE, VIDEOS_FILE}


def test_a_damaged_name_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("half of a na")
    with pytest.raises(Fault, match="remove it"):
        server_name(tmp_path)
    assert (tmp_path / FILE).read_text() == "half of a na"


def test_a_folder_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Fault, match="cannot be kept"):
        server_name(tmp_path / "file")
