"""Tiny videos, made on demand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import clips
import pytest

MakeClip = Callable[..., Path]


@pytest.fixture
def make_clip() -> MakeClip:
    """Writes a video; its arguments are those of :func:`clips.make_clip`."""
    return clips.make_clip
