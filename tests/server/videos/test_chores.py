"""The chores are those that the settings require, and end with the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from video_service import serving


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, {"clean"}),
        (
            {"storage": "file:///STORAGE", "callback_secret": f"whsec_{'A' * 32}"},
            {"clean", "Mover.run", "Caller.run"},
        ),
    ],
)
def test_chores_follow_the_settings(
    tmp_path: Path, settings: dict[str, Any], names: set[str]
) -> None:
    given = {key: text.replace("/STORAGE", str(tmp_path)) for key, text in settings.items()}
    with serving(tmp_path, **given) as client:
        running = client.app.state.service.videos.chores  # type: ignore[attr-defined]
        assert {chore.get_coro().__qualname__ for chore in running} == names
        assert not any(chore.done() for chore in running)
    assert all(chore.cancelled() for chore in running)
