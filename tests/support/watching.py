"""References against which a stream or a process is checked from outside."""

from __future__ import annotations

import os
from collections.abc import Sequence

from models.spec import ModelSpec
from server.engines.fake import FakeEngine
from server.frame import Labels, Pixels
from server.plans.trial import follow


def unbroken(spec: ModelSpec, frames: Sequence[Pixels]) -> list[Labels]:
    """The masks of one fake engine that sees all of a stream's frames."""
    return follow(FakeEngine(spec), frames).masks


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
