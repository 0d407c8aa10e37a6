"""docker-compose.yml: valid by compose itself, whatever profiles are on, and hardened."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from clients.python.arguments import parse
from server.settings import Settings

ROOT = Path(__file__).parents[2]
WRITTEN = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = WRITTEN["services"]
PROFILES = {
    "gpu": {"mastream-gpu"},
    "camera": {"camera", "add-camera"},
    "monitoring": {"prometheus", "grafana"},
    "postgres": {"postgres"},
}
COMING = {"MASTREAM_ENGINE__CACHE"}
"""Settings of engines that are not here yet; what is unknown is not read."""


@cache
def compose() -> tuple[str, ...]:
    """The command: the `dev` extra's, docker's plugin, or the machine's."""
    beside = Path(sys.executable).parent / "docker-compose"
    candidates = [(str(beside),), ("docker", "compose"), ("docker-compose",)]
    for candidate in candidates:
        if shutil.which(candidate[0]) and not _run([*candidate, "version"]).returncode:
            return candidate
    pytest.skip("docker compose is not installed: make setup")


def _run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    outside = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        command,
        cwd=ROOT,
        env=outside | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def config(*profiles: str, **environment: str) -> dict[str, Any]:
    """What compose makes of the file. It must not warn."""
    flags = [word for profile in profiles for word in ("--profile", profile)]
    command = [*compose(), "--env-file", os.devnull, *flags, "config", "--format", "json"]
    told = _run(command, **environment)
    assert (told.returncode, told.stderr) == (0, "")
    found: dict[str, Any] = json.loads(told.stdout)
    return found


@pytest.mark.parametrize("profiles", [(), *((one,) for one in PROFILES), ("*",)], ids="-".join)
def test_each_profile_adds_its_services(profiles: tuple[str, ...]) -> None:
    added = PROFILES.values() if profiles == ("*",) else [PROFILES[one] for one in profiles]
    assert config(*profiles)["services"].keys() == {"mastream"}.union(*added)


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_no_two_services_want_the_same_port_or_write_to_the_same_volume(profile: str) -> None:
    services = config(profile)["services"].values()
    ports = [one["published"] for service in services for one in service.get("ports", [])]
    written = [
        volume["source"]
        for service in services
        for volume in service.get("volumes", [])
        if not volume.get("read_only")
    ]
    assert len(set(ports)) == len(ports)
    assert len(set(written)) == len(written)


def test_every_service_is_hardened() -> None:
    for name, service in config("*")["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        limits = service["deploy"]["resources"]["limits"]
        assert int(limits["memory"]) > 0 and limits["pids"] > 0, name
        assert not {"privileged", "network_mode", "pid"} & service.keys(), name


def test_ports_are_this_machines_alone_unless_asked_otherwise() -> None:
    def hosts(**environment: str) -> set[str]:
        services = config("*", **environment)["services"].values()
        return {port["host_ip"] for service in services for port in service.get("ports", [])}

    assert hosts() == {"127.0.0.1"}
    assert hosts(MASTREAM_BIND="0.0.0.0") == {"0.0.0.0"}


def test_images_that_are_pulled_are_pinned() -> None:
    for service in SERVICES.values():
        if "build" not in service:
            assert re.fullmatch(r"docker\.io/\S+:v?\d+\.\d+(\.\d+)?[\w.-]*", service["image"])


def test_a_service_has_longer_to_end_than_it_drains() -> None:
    for name in ("mastream", "mastream-gpu"):
        service = config("gpu")["services"][name]
        found = re.fullmatch(r"(\d+)s", service["stop_grace_period"])
        assert found
        assert float(found[1]) > float(service["environment"]["MASTREAM_DRAIN_SECONDS"])


def test_settings_are_the_servers() -> None:
    for name in ("mastream", "mastream-gpu"):
        environment = SERVICES[name]["environment"].keys() | WRITTEN["x-environment"].keys()
        for variable in environment - COMING:
            if variable.startswith("MASTREAM_"):
                group, _, field = variable.removeprefix("MASTREAM_").lower().partition("__")
                known: Any = Settings.model_fields[group]
                assert not field or field in known.annotation.model_fields, variable


def test_the_gpu_service_asks_for_one_and_keeps_its_plans() -> None:
    service = config("gpu")["services"]["mastream-gpu"]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert service["build"]["args"] == {"VARIANT": "gpu"}
    kept = {volume["target"] for volume in service["volumes"]}
    assert kept == {"/data", "/plans"}
    assert service["environment"]["MASTREAM_ENGINE__CACHE"] in kept


def test_a_password_alone_moves_the_rows_to_postgres_and_stays_out_of_the_address() -> None:
    without = config("postgres")["services"]
    assert without["mastream"]["environment"]["MASTREAM_VIDEOS__DATABASE"] == ""
    secret = "it's @ secret/"
    services = config("postgres", "gpu", MASTREAM_POSTGRES_PASSWORD=secret)["services"]
    both = [services[one]["environment"] for one in ("mastream", "mastream-gpu")]
    addresses = [environment["MASTREAM_VIDEOS__DATABASE"] for environment in both]
    assert addresses == [
        "postgresql+psycopg://mastream@postgres/mastream",
        "postgresql+psycopg://mastream@postgres/mastream_gpu",
    ]
    assert services["mastream"]["environment"]["PGPASSWORD"] == secret
    assert services["postgres"]["environment"]["POSTGRES_PASSWORD"] == secret
    assert "ports" not in services["postgres"]


def test_files_that_services_mount_are_in_the_tree() -> None:
    for service in config("*")["services"].values():
        for volume in service.get("volumes", []):
            if volume["type"] == "bind":
                assert Path(volume["source"]).exists()
                assert volume["read_only"] is True


def test_the_camera_is_pulled_and_its_overlay_published_where_mediamtx_takes_it() -> None:
    services = config("camera")["services"]
    argv = [*services["add-camera"]["entrypoint"], *services["add-camera"]["command"]]
    assert argv[0] == "mastream"
    args, _ = parse(argv[1:])
    assert (args.action, args.name, args.replace) == ("add", "camera", True)
    source, target, server = urlsplit(args.source), urlsplit(args.publish), urlsplit(args.url)
    assert {source.hostname, target.hostname} == {"camera"} <= services.keys()
    assert (server.hostname, server.port) == (
        "mastream",
        services["mastream"]["ports"][0]["target"],
    )
    served = yaml.safe_load((ROOT / "docker/camera/mediamtx.yml").read_text())
    assert served["paths"].keys() == {source.path[1:], target.path[1:]}
    allowed = {"action": "publish", "path": target.path[1:]}
    users = [one for one in served["authInternalUsers"] if allowed in one["permissions"]]
    assert [(one["user"], one["pass"]) for one in users] == [(target.username, target.password)]


def test_mediamtx_serves_what_it_has_ports_for() -> None:
    served = yaml.safe_load((ROOT / "docker/camera/mediamtx.yml").read_text())
    off = {name for name in ("rtmp", "srt", "moq") if served[name] is False}
    assert off == {"rtmp", "srt", "moq"}
    ports = {
        (one["target"], one["protocol"]) for one in config("camera")["services"]["camera"]["ports"]
    }
    assert ports == {(8554, "tcp"), (8888, "tcp"), (8889, "tcp"), (8189, "udp")}
