"""Definitions: stored and read, and shown without their secrets."""

from __future__ import annotations

import json

import pytest

from protocol import DropPolicy
from server.security.sealing import without_secrets
from server.streams.definition import StreamDefinition


def test_a_definition_comes_back_from_json() -> None:
    asked = StreamDefinition("cam", "rtsp://a:b@host/x", DropPolicy.EVERY, max_fps=5, on_cut="keep")
    read = StreamDefinition.from_dict(json.loads(json.dumps(asked.to_dict())) | {"newer": 1})
    assert read == asked


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://user:secret@host:554/path?token=secret#secret", "rtsp://host:554/path"),
        ("rtsp://secret@[::1]:8554/a", "rtsp://[::1]:8554/a"),
        ("file:///video.mp4", "file:///video.mp4"),
        ("http://host:99999/x", "http://host/x"),
    ],
)
def test_no_secret_is_shown(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
    assert "secret" not in repr(StreamDefinition("cam", url))
