"""A real server as a child process."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import ports
import pytest
from living import open_files

from launcher.child import ServerChild, free_port
from launcher.options import ServerOptions
from launcher.supervision import Seen


def until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 50
    while not reached():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def free_range() -> tuple[int, int]:
    """Return a port that was free a moment ago, as a range."""
    port = ports.free_port()
    return port, port


def test_a_server_starts_serves_drains_and_leaves_its_folder_free(tmp_path: Path) -> None:
    ports = free_range()
    options = ServerOptions(tmp_path, ports=ports, flags=("--engine", "fake"))
    child, other = (ServerChild(1, options, "here") for _ in range(2))
    assert child.look() == Seen(running=False, can_start=True)
    child.start()
    try:
        assert other.look() == Seen(running=False, can_start=False)
        other.start()
        assert other.pid is None, "a second server would use the same folder"
        until(lambda: child.look().ready)
        assert child.url == f"http://127.0.0.1:{ports[0]}"
        assert (tmp_path / "agent-1" / "server_name").exists()
        child.drain()
        child.drain()
        until(lambda: not child.look().running)
    finally:
        child.kill()
    assert (child.exit_code, child.pid, child.url) == (0, None, None)
    assert other.look().can_start


def test_a_server_that_cannot_start_leaves_its_status_and_no_open_file(tmp_path: Path) -> None:
    flags = ("--model", str(tmp_path / "missing.onnx"))
    child = ServerChild(1, ServerOptions(tmp_path, ports=free_range(), flags=flags), "here")
    child.look()
    before = open_files()
    child.start()
    until(lambda: not child.look().running)
    assert (child.exit_code, open_files()) == (1, before)


def test_each_agent_prefers_a_port_of_its_own_and_takes_another_if_it_is_in_use(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = ServerOptions(tmp_path, ports=(port, port))
        with pytest.raises(OSError, match=f"no port from {port} to {port} is free"):
            free_port(options, 1)
        assert free_port(ServerOptions(tmp_path, ports=(port - 20, port)), 21) != port
