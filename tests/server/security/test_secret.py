"""The server's secret: made once, readable by its owner alone, or set."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from server.errors import Fault
from server.security.secret import server_secret
from server.settings import SecuritySettings


def test_it_is_made_once(tmp_path: Path) -> None:
    first = server_secret(tmp_path / "data", SecuritySettings())
    assert server_secret(tmp_path / "data", SecuritySettings()) == first
    assert len(first) == 64
    assert [one.name for one in (tmp_path / "data").iterdir()] == ["secret"]
    assert (tmp_path / "data" / "secret").stat().st_mode & 0o077 == 0


def test_what_is_set_is_used_and_nothing_written(tmp_path: Path) -> None:
    security = SecuritySettings(secret=SecretStr("a" * 16))
    assert server_secret(tmp_path, security) == b"a" * 16
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_used_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Fault, match="server's secret"):
        server_secret(tmp_path / "file", SecuritySettings())
