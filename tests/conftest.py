"""Fixtures that more than one test file needs: where the real data lies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data() -> Path:
    """The real data's folder; the test is skipped, with the reason, where it is absent."""
    folder = Path(os.environ.get("MASTREAM_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}: set MASTREAM_DATA")
    return folder
