"""Chores are repeated, whatever happens."""

from __future__ import annotations

import asyncio

import pytest

from server.errors import Fault
from server.videos import cleaning

pytestmark = pytest.mark.anyio


async def test_a_chore_that_fails_keeps_no_other_from_being_done(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cleaning, "CLEAN_SECONDS", 0.0)
    done, enough = list[str](), asyncio.Event()

    async def broken() -> None:
        raise Fault("The database failed.")

    async def works() -> None:
        done.append("x")
        if len(done) == 2:
            enough.set()

    cleaner = asyncio.create_task(cleaning.clean(broken, works))
    await enough.wait()
    cleaner.cancel()
    await asyncio.gather(cleaner, return_exceptions=True)
    assert cleaner.cancelled()
    assert caplog.text.count("cannot be removed") >= 2
