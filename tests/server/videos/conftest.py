"""Shared by all tests of uploaded videos."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from quick_videos import quick_videos


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with quick_videos():
        yield
