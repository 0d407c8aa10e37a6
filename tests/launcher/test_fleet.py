"""Servers started by Ray on this machine: what happens when what dies. Uses the real Ray."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from launcher.__main__ import main
from launcher.ray_settings import SETTINGS

# Ray reads its settings when it is imported, so this must not import it.
if find_spec("ray") is None:
    pytest.skip("Ray is not installed: pip install mastream[ray]", allow_module_level=True)
pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
STARTED = "will now block forever"

Report = dict[str, Any]


def until(reached: Callable[[], Any], what: str, seconds: float = 90) -> Any:
    end = time.monotonic() + seconds
    while not (found := reached()):
        assert time.monotonic() < end, what
        time.sleep(0.1)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def runs(pid: int) -> bool:
    """Return whether the process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def ray_node(folder: Path, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``mastream cluster node`` until the block ends."""
    folder.mkdir(parents=True)
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "launcher", "node", "--ip", "127.0.0.1", *flags],
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
    try:

        def has_started() -> bool:
            assert process.poll() is None, log.read_text()
            return STARTED in log.read_text()

        until(has_started, "Ray did not start")
        yield process
    finally:
        process.terminate()
        process.wait(60)


@dataclass(frozen=True)
class Ray:
    """The head's address, and a folder for the servers of one test."""

    address: str
    folder: Path

    def command(self, action: str, *arguments: str) -> int:
        return main([action, "--address", self.address, *arguments])

    def up(self, count: int, *flags: str) -> None:
        ports = f"{free_port()}-65535"
        data = str(self.folder)
        assert self.command("up", "-n", str(count), "--data", data, "--ports", ports, *flags) == 0

    def until(
        self, reached: Callable[[dict[str, Report | None]], Any], what: str
    ) -> dict[str, Report]:
        """Wait until the agents' reports are so; return them."""
        from launcher import fleet  # noqa: PLC0415  after the settings that Ray reads
        from launcher.member import as_json  # noqa: PLC0415

        with fleet.connected(self.address):
            last: dict[str, Any] = {}

            def look() -> bool:
                last.clear()
                last.update(json.loads(as_json(fleet.members())))
                return bool(reached(last))

            until(look, what)
        return last


FAKE = ("--", "--engine", "fake")


def all_serve(count: int) -> Callable[[dict[str, Report | None]], bool]:
    """Return whether there are so many agents, all with a server that is ready."""
    return lambda found: (
        len(found) == count and all(one and one["state"] == "serving" for one in found.values())
    )


@pytest.fixture(scope="module", autouse=True)
def settings() -> Iterator[None]:
    """The environment of all commands, before one of them imports Ray."""
    with pytest.MonkeyPatch.context() as patch:
        for one in SETTINGS:
            patch.setenv(one.name, one.value)
        patch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef" * 2)
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
