"""The sandbox is tried before the first video or camera."""

from __future__ import annotations

import pytest

from server.errors import Fault
from server.settings import DecodeSettings
from server.sources import open_sandbox
from server.sources.sandbox import trial
from server.sources.sandbox.decoder import Sandbox
from server.sources.sandbox.system_calls import architecture
from server.sources.sandbox.trial import check_sandbox, check_sandbox_of_cameras

pytestmark = pytest.mark.skipif(architecture() is None, reason="no sandbox on this machine")


def test_a_sandbox_that_decodes_is_fit() -> None:
    check_sandbox(Sandbox())


def test_one_that_does_not_is_named_with_what_to_set() -> None:
    unfit = Sandbox(module="tests.support.unfit_decoder")
    with pytest.raises(Fault, match="set MASTREAM_DECODE__SANDBOX to false") as refused:
        check_sandbox(unfit)
    assert "system call that decoding never needs" in str(refused.value)


def test_a_sandbox_that_decodes_cameras_is_fit() -> None:
    check_sandbox_of_cameras(Sandbox())


def test_one_that_decodes_only_files_is_unfit_for_cameras() -> None:
    unfit = Sandbox(module="tests.support.unfit_camera_decoder")
    check_sandbox(unfit)
    with pytest.raises(Fault, match="set MASTREAM_DECODE__SANDBOX_CAMERAS to false") as refused:
        check_sandbox_of_cameras(unfit)
    assert "camera's decoder was stopped" in str(refused.value)


def test_cameras_are_tried_only_if_they_will_be_sandboxed(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Sandbox] = []
    monkeypatch.setattr(trial, "check_sandbox", lambda _: None)
    monkeypatch.setattr(trial, "check_sandbox_of_cameras", tried.append)
    open_sandbox(DecodeSettings(sandbox=True))
    assert tried == []
    found = open_sandbox(DecodeSettings(sandbox=True, sandbox_cameras=True))
    assert tried == [found]


def test_a_machine_without_a_filter_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.sources.sandbox.seccomp.architecture", lambda: None)
    with pytest.raises(Fault, match="needs Linux on x86_64 or aarch64"):
        check_sandbox(Sandbox(module="none.such"))
