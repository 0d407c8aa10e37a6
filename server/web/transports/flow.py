"""When a connection may be read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """Keeps reading paused while the connection ``is_behind``, even if something resumes it."""

    def __init__(self, transport: asyncio.Transport, is_behind: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._is_behind = is_behind

    def resume_reading(self) -> None:
        if not self._is_behind():
            super().resume_reading()
