"""Fixtures that more than one test file needs: where the real data lies."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

pytest_plugins = ("tensorrt_contract",)

ROOT = Path(__file__).resolve().parent.parent

# A shell starts what it runs in the background with SIGINT ignored, and so would be the processes
# that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data() -> Path:
    """The real data's folder; the test is skipped, with the reason, where it is absent."""
    folder = Path(os.environ.get("MASTREAM_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}: set MASTREAM_DATA")
    return folder
