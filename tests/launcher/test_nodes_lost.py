"""What happens to servers and agents when Ray itself fails: a machine's raylet, or the head."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
from ports import free_port
from ray_nodes import (
    FAKE,
    Ray,
    all_serve,
    process_of,
    ray_node,
    ray_settings,
    runs,
    until,
)

if find_spec("ray") is None:
    pytest.skip("Ray is not installed: pip install mastream[ray]", allow_module_level=True)
pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

Node = subprocess.Popen[bytes]


@pytest.fixture(scope="module", autouse=True)
def settings() -> Iterator[None]:
    with ray_settings():
        yield


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def ray(port: int, tmp_path: Path) -> Ray:
    return Ray(f"127.0.0.1:{port}", tmp_path / "servers")


def head(folder: Path, port: int, engines: int) -> Any:
    flags = ("--port", str(port), "--engines", str(engines), "--", "--num-cpus=1")
    return ray_node(folder, *flags)


def joined(folder: Path, ray: Ray, engines: int) -> Any:
    flags = ("--join", ray.address, "--engines", str(engines), "--", "--num-cpus=1")
    return ray_node(folder, *flags)


def ready(report: dict[str, Any]) -> bool:
    try:
        return httpx.get(f"{report['url']}/health/ready", timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL], ids=["TERM", "KILL"])
def test_a_machine_whose_raylet_ends_loses_its_agent_to_a_free_engine(
    sign: signal.Signals, ray: Ray, port: int, tmp_path: Path
) -> None:
    """The second machine has the only free engine when the agent is created; the third joins
    later. So the agent must go from one to the other."""
    with head(tmp_path / "head", port, 0), joined(tmp_path / "second", ray, 1) as second:
        ray.up(1, *FAKE)
        before = ray.until(all_serve(1), "a server serves")["mastream-agent-1"]
        with joined(tmp_path / "third", ray, 1):
            os.kill(process_of(second, "raylet"), sign)
            killed = time.monotonic()
            until(lambda: not runs(before["server_pid"]), "the server of the lost machine drains")
            drained = time.monotonic() - killed
            after = ray.until(
                lambda found: (
                    all_serve(1)(found)
                    and found["mastream-agent-1"]["node_id"] != before["node_id"]
                ),
                "another machine has the agent",
            )["mastream-agent-1"]
            print(
                f"{sign.name}: drained {drained:.1f} s, elsewhere {time.monotonic() - killed:.1f} s"
            )
            assert ready(after)
            assert ray.command("down") == 0


def test_servers_outlive_the_head_and_are_supervised_without_it(
    ray: Ray, port: int, tmp_path: Path
) -> None:
    with head(tmp_path / "head", port, 0) as first, joined(tmp_path / "second", ray, 1) as second:
        ray.up(1, *FAKE)
        before = ray.until(all_serve(1), "a server serves")["mastream-agent-1"]
        os.kill(process_of(first, "gcs_server"), signal.SIGKILL)
        until(lambda: first.poll() is not None, "the head's node ends with it")
        lost = time.monotonic()
        while time.monotonic() - lost < 15:
            assert runs(before["server_pid"]) and ready(before)
            time.sleep(0.5)
        assert runs(before["agent_pid"]) and second.poll() is None
        os.kill(before["server_pid"], signal.SIGKILL)
        until(lambda: ready(before), "its agent starts another server, without a head")
        assert ray.command("status") == 1
