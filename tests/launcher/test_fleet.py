"""Servers started by Ray on this machine: the effect of each possible death. Uses the real Ray."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from ports import free_port
from ray_nodes import FAKE, Ray, all_serve, ray_node, ray_settings, runs, until

# Ray reads its settings when it is imported, so this must not import it.
if find_spec("ray") is None:
    pytest.skip("Ray is not installed: pip install mastream[ray]", allow_module_level=True)
pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", autouse=True)
def settings() -> Iterator[None]:
    with ray_settings():
        yield


@pytest.fixture(scope="module")
def head(settings: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:  # noqa: ARG001
    """A head with two engines; the address."""
    port = free_port()
    folder = tmp_path_factory.mktemp("head") / "ray"
    with ray_node(folder, "--port", str(port), "--engines", "2", "--", "--num-cpus=1"):
        yield f"127.0.0.1:{port}"


@pytest.fixture
def ray(head: str, tmp_path: Path) -> Iterator[Ray]:
    """Ray without agents, before and after the test."""
    one = Ray(head, tmp_path / "servers")
    yield one
    assert one.command("down") == 0


def test_servers_start_answer_and_leave_no_process(
    ray: Ray, capsys: pytest.CaptureFixture[str]
) -> None:
    ray.up(2, *FAKE)
    found = ray.until(all_serve(2), "two servers serve")
    assert list(found) == ["mastream-agent-1", "mastream-agent-2"]
    for one in found.values():
        assert httpx.get(f"{one['url']}/health/ready").status_code == 200
    assert ray.command("down") == 0
    assert not [pid for one in found.values() if runs(pid := one["server_pid"])]
    capsys.readouterr()
    assert ray.command("status") == 0
    assert capsys.readouterr().out.startswith("No agents")


def test_a_server_that_is_killed_is_started_again(ray: Ray) -> None:
    ray.up(1, *FAKE)
    before = ray.until(all_serve(1), "a server serves")["mastream-agent-1"]
    os.kill(before["server_pid"], signal.SIGKILL)
    after = ray.until(
        lambda found: all_serve(1)(found) and found["mastream-agent-1"]["failures"],
        "another serves",
    )["mastream-agent-1"]
    assert (after["failures"], after["exit_code"]) == (1, -signal.SIGKILL)
    assert after["agent_pid"] == before["agent_pid"]
    assert after["url"] == before["url"]


def test_an_agent_that_is_killed_has_its_server_drain_and_is_started_again(ray: Ray) -> None:
    ray.up(1, *FAKE)
    before = ray.until(all_serve(1), "a server serves")["mastream-agent-1"]
    os.kill(before["agent_pid"], signal.SIGKILL)
    until(lambda: not runs(before["server_pid"]), "the server drains")
    after = ray.until(
        lambda found: (
            all_serve(1)(found) and found["mastream-agent-1"]["agent_pid"] != before["agent_pid"]
        ),
        "another agent has another server",
    )["mastream-agent-1"]
    assert after["server_pid"] != before["server_pid"]


def test_a_server_that_cannot_start_is_tried_less_and_less_often(ray: Ray) -> None:
    ray.up(1, "--", "--model", str(ray.folder / "missing.onnx"))
    found = ray.until(
        lambda found: (one := found["mastream-agent-1"]) and one["failures"] >= 2, "it fails twice"
    )
    assert found["mastream-agent-1"]["exit_code"] == 1


def test_a_drained_agent_has_no_server_until_up(
    ray: Ray, capsys: pytest.CaptureFixture[str]
) -> None:
    ray.up(2, *FAKE)
    before = ray.until(all_serve(2), "two servers serve")
    assert ray.command("drain", "mastream-agent-1") == 0
    assert not runs(before["mastream-agent-1"]["server_pid"])
    assert runs(before["mastream-agent-2"]["server_pid"])
    assert ray.command("drain", socket.gethostname()) == 0
    assert not runs(before["mastream-agent-2"]["server_pid"])
    capsys.readouterr()
    assert ray.command("drain", "nobody") == 1
    told = capsys.readouterr().err
    assert told.startswith("mastream: There is no agent and no machine 'nobody'")
    ray.up(1, *FAKE)
    assert list(ray.until(all_serve(1), "the first serves again")) == ["mastream-agent-1"]


def test_a_machine_that_joins_gets_a_waiting_agent_and_drains_when_it_is_stopped(
    ray: Ray, tmp_path: Path
) -> None:
    ray.up(3, *FAKE)
    ray.until(lambda found: sum(map(bool, found.values())) == 2, "two find an engine, one waits")
    flags = ["--join", ray.address, "--", "--num-cpus=1"]
    with ray_node(tmp_path / "second", *flags) as second:
        found = ray.until(all_serve(3), "the third finds an engine")
        nodes = [one["node_id"] for one in found.values()]
        (moved,) = [one for one in found.values() if nodes.count(one["node_id"]) == 1]
        second.terminate()
        until(lambda: not runs(moved["server_pid"]), "its server drains")
    ray.until(lambda found: sum(map(bool, found.values())) == 2, "its agent waits again")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:x"])
def test_where_nothing_listens_the_message_says_how_to_start_ray(address: str) -> None:
    from launcher import fleet  # noqa: PLC0415  after the settings that Ray reads
    from launcher.errors import NoRay  # noqa: PLC0415

    with pytest.raises(NoRay, match=f"at {address}: .*mastream cluster node"):  # noqa: SIM117
        with fleet.connected(address):
            pass
