"""Pictures of pulled streams count against the one budget of all streams."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

from server.engines.fake import FakeEngine
from server.frame import Frame
from server.service.parts import make_parts
from server.settings import Settings, StreamSettings

pytestmark = pytest.mark.anyio


async def test_what_pulled_streams_hold_is_not_there_for_pushed_ones(tmp_path: Path) -> None:
    settings = Settings(folder=tmp_path, streams=StreamSettings(total_bytes=1000))
    parts = make_parts(settings, [FakeEngine], None, lambda: None, lambda: None)
    try:
        small = np.zeros((2, 2, 3), np.uint8)
        frame = Frame(small, 0, original=np.zeros((10, 20, 3), np.uint8))
        parts.pictures.all.add(frame)
        assert parts.budget.total == 600 and not parts.pictures.is_spent()
        parts.budget.held += 400
        assert parts.budget.is_spent and parts.pictures.is_spent()
        del frame
        gc.collect()
        assert parts.budget.total == 400 and not parts.pictures.is_spent()
    finally:
        parts.pool.close()
        parts.recordings.close(1.0)
