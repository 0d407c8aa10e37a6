"""Real servers, each in a separate process, with the fake engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest
from cluster_process import Cluster
from server_process import RunningServer, server_process


@pytest.fixture
def run_server(tmp_path: Path) -> Callable[..., AbstractContextManager[RunningServer]]:
    """Starts a server with its own settings: ``with run_server(port="0") as server``."""
    return lambda *flags, **settings: server_process(tmp_path / "data", *flags, **settings)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for all tests that leave it unharmed; it gives up slow readers after 1 s."""
    limits = {"streams__slow_seconds": "1", "streams__max_message_bytes": "2000000"}
    with server_process(tmp_path_factory.mktemp("server"), **limits) as running:
        yield running


@pytest.fixture(scope="module")
def camera_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of small masks that loses patience with cameras within seconds."""
    settings = {
        "engine__fake_height": "48",
        "engine__fake_width": "64",
        "live__connect_seconds": "3",
        "live__stall_seconds": "0.5",
        "live__give_up_seconds": "1.5",
        "live__backoff_seconds": "0.1",
        "live__longest_backoff_seconds": "0.3",
        "live__refused_seconds": "0.5",
    }
    with server_process(tmp_path_factory.mktemp("cameras"), **settings) as running:
        yield running


@pytest.fixture
def cluster(tmp_path: Path, postgres_url: str) -> Iterator[Cluster]:
    """Servers on one empty PostgreSQL, still to be started."""
    with closing(Cluster(tmp_path, postgres_url)) as found:
        yield found
