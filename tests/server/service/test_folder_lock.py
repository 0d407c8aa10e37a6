"""One server per folder."""

from __future__ import annotations

import fcntl
import os
from errno import ENOLCK, ENOSYS
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from server.errors import Fault
from server.service.folder_lock import FolderLock


def refuse(number: int) -> Any:
    def call(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return call


def test_a_second_server_is_refused_until_the_first_one_has_ended(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path / "data"), FolderLock(tmp_path / "data")
    first.take()
    with pytest.raises(Fault, match="Another server uses"):
        second.take()
    first.release()
    first.release()
    second.take()
    second.release()


@pytest.mark.parametrize("number", [ENOLCK, ENOSYS])
def test_a_file_system_without_locks_is_used_with_a_warning(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fcntl, "flock", refuse(number))
    lock = FolderLock(tmp_path)
    lock.take()
    assert "do not start a second server on it" in caplog.text
    FolderLock(tmp_path).take()  # as after a crash: nothing is left that would refuse it
    lock.release()


def test_a_lock_of_another_user_may_be_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "server.lock").touch()
    monkeypatch.setattr(FileLock, "acquire", denied)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write every file
    with pytest.raises(Fault, match="belongs to another user"):
        FolderLock(tmp_path).take()
    assert not caplog.text
