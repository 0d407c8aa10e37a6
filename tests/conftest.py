"""Shared by all tests: the process that they run in, and the real data."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import hypothesis
import pytest

pytest_plugins = (
    "buckets",
    "cameras",
    "postgres_server",
    "recorders",
    "small_networks",
    "tensorrt_contract",
)

ROOT = Path(__file__).resolve().parent.parent

# Torch's threads wait for each other by spinning: more of them than cores slow everything down, in
# the processes that tests start too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says more about what else the machine does than about the code.
hypothesis.settings.register_profile("mastream", deadline=None)
hypothesis.settings.load_profile("mastream")

# Starlette's test client calls every server by this name.
os.environ.setdefault("MASTREAM_SECURITY__HOSTS", '["testserver"]')

# A shell starts what it runs in the background with SIGINT ignored, and so would be the processes
# that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# nohup does the same to SIGHUP: with a handler this process ignores it still, and those do not.
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Tests that are coroutines (``pytest.mark.anyio``) run on asyncio, as server and client do."""
    return "asyncio"


@pytest.fixture(scope="session")
def data() -> Path:
    """The real data's folder; the test is skipped, with the reason, if it is absent."""
    folder = Path(os.environ.get("MASTREAM_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}: set MASTREAM_DATA")
    return folder
