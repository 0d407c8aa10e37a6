"""docker-compose.yml: valid by compose itself, whatever profiles are on, and hardened."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from pydantic import BaseModel

from clients.python.arguments import parse
from server.settings import Settings

ROOT = Path(__file__).parents[2]
WRITTEN = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = WRITTEN["services"]
PROFILES = {
    "gpu": {"mastream-gpu"},
    "cluster": {"node", "entry", "postgres"},
    "camera": {"camera", "add-camera"},
    "monitoring": {"prometheus", "grafana"},
    "postgres": {"postgres"},
}


@cache
def compose() -> tuple[str, ...]:
    """The command: the `dev` extra's, docker's plugin, or the machine's.

    The extra's is the program inside its package: the command that it installs ends with 0 whatever
    happens.
    """
    package = find_spec("compose")
    places = (package.submodule_search_locations or []) if package else []
    inside = [(f"{place}/docker-compose",) for place in places]
    candidates = [*inside, ("docker", "compose"), ("docker-compose",)]
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
    """The configuration that compose reads from the file, without warnings."""
    flags = [word for profile in profiles for word in ("--profile", profile)]
    command = [*compose(), "--env-file", os.devnull, *flags, "config", "--format", "json"]
    told = _run(command, **environment)
    assert (told.returncode, told.stderr) == (0, "")
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def test_compose_says_by_its_status_that_it_failed() -> None:
    assert _run([*compose(), "--no-such-flag"]).returncode != 0


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
        if "source" in volume and not volume.get("read_only")
    ]
    assert len(set(ports)) == len(ports)
    assert len(set(written)) == len(written)


def test_every_profile_is_run_by_compose_check_but_the_gpus() -> None:
    checked = {one.stem for one in (ROOT / "docker/profiles").iterdir()}
    assert checked & PROFILES.keys() == PROFILES.keys() - {"gpu"}


def test_every_service_is_hardened() -> None:
    for name, service in config("*")["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        limits = service["deploy"]["resources"]["limits"]
        assert int(limits["memory"]) > 0 and limits["pids"] > 0, name
        assert not {"privileged", "network_mode", "pid"} & service.keys(), name


BINDS = {
    "MASTREAM_BIND": {"mastream", "mastream-gpu", "entry"},
    "MASTREAM_CAMERA_BIND": {"camera"},
    "MASTREAM_PROMETHEUS_BIND": {"prometheus"},
    "MASTREAM_GRAFANA_BIND": {"grafana"},
}
"""The services that each variable publishes."""


def published(**environment: str) -> dict[str, set[str]]:
    """The addresses at which each service is published."""
    services = config("*", **environment)["services"].items()
    found = {name: {port["host_ip"] for port in one.get("ports", [])} for name, one in services}
    return {name: addresses for name, addresses in found.items() if addresses}


def test_ports_are_this_machines_alone() -> None:
    assert published() == {name: {"127.0.0.1"} for names in BINDS.values() for name in names}


@pytest.mark.parametrize("variable", BINDS)
def test_each_port_is_opened_by_a_variable_of_its_own(variable: str) -> None:
    found = published(**{variable: "0.0.0.0"})
    assert {name for name, hosts in found.items() if hosts == {"0.0.0.0"}} == BINDS[variable]
    assert {host for name in found.keys() - BINDS[variable] for host in found[name]} == {
        "127.0.0.1"
    }


def test_the_server_is_told_where_it_is_published() -> None:
    given = {"MASTREAM_BIND": "0.0.0.0", "MASTREAM_PORT": "9000", "MASTREAM_GPU_PORT": "9001"}
    services = config("gpu", **given)["services"]
    told = {
        name: services[name]["environment"]["MASTREAM_SECURITY__PUBLISHED"]
        for name in ("mastream", "mastream-gpu")
    }
    assert told == {"mastream": "0.0.0.0:9000", "mastream-gpu": "0.0.0.0:9001"}


def test_the_servers_of_a_cluster_share_their_videos_and_are_told_of_the_entry() -> None:
    services = config("cluster", MASTREAM_BIND="0.0.0.0", MASTREAM_ENTRY_PORT="80")["services"]
    assert set(services) == {"mastream", "node", "entry", "postgres"}
    node = services["node"]
    assert node["environment"]["MASTREAM_SECURITY__PUBLISHED"] == "0.0.0.0:80"
    volumes = {one["target"]: one.get("source") for one in node["volumes"]}
    assert volumes == {"/data": None, "/videos": "videos"}
    assert node["environment"]["MASTREAM_VIDEOS__FOLDER"] == "/videos"
    assert "ports" not in node and "container_name" not in node
    assert node["environment"]["MASTREAM_VIDEOS__DATABASE"].startswith("postgresql+psycopg://")


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


def settings_of(group: type[BaseModel], prefix: str) -> Iterator[str]:
    """The variable of each setting."""
    for name, field in group.model_fields.items():
        if isinstance(field.default, BaseModel):
            yield from settings_of(type(field.default), f"{prefix}{name}__")
        else:
            yield f"{prefix}{name}".upper()


OF_THE_CONTAINER = {"MASTREAM_HOST", "MASTREAM_PORT", "MASTREAM_FOLDER"}
"""Settings that are the image's: outside, MASTREAM_PORT is the published port."""


def test_every_setting_is_passed_on_from_the_shell_or_set() -> None:
    lines = (ROOT / "docker/settings.env").read_text().splitlines()
    passed = [line for line in lines if not line.startswith("#")]
    variables = {*WRITTEN["x-environment"], *SERVICES["mastream"]["environment"]}
    assert len(set(passed)) == len(passed)
    assert variables & set(passed) == set()
    ours = {one for one in (*variables, *passed) if one.startswith("MASTREAM_")}
    assert ours == set(settings_of(Settings, "MASTREAM_")) - OF_THE_CONTAINER


def test_variables_of_opentelemetry_are_passed_on_as_documented() -> None:
    lines = (ROOT / "docker/settings.env").read_text().splitlines()
    others = {line for line in lines if line and not line.startswith(("#", "MASTREAM_"))}
    page = (ROOT / "docs/observability.md").read_text()
    assert others == set(re.findall(r"`(OTEL_\w+)`", page))


def test_a_setting_reaches_both_servers_and_one_that_is_absent_is_left_to_them() -> None:
    given = {
        "MASTREAM_ENGINE__MAX_BATCH": "7",
        "MASTREAM_VIDEOS__CALLBACK_HOSTS": '["a.example"]',
        "MASTREAM_SECURITY__HOSTS": '["mine"]',
    }
    services = config("gpu", **given)["services"]
    for name in ("mastream", "mastream-gpu"):
        environment = services[name]["environment"]
        assert given.items() <= environment.items()
        assert "MASTREAM_ENGINE__MODEL" not in environment
    hosts = config()["services"]["mastream"]["environment"]["MASTREAM_SECURITY__HOSTS"]
    assert json.loads(hosts) == ["mastream", "mastream-gpu"]


def test_images_that_are_built_are_not_pulled() -> None:
    for name, service in config("*")["services"].items():
        assert ("build" in service) == (service.get("pull_policy") == "build"), name


def test_the_health_check_is_the_images_whatever_format_that_has() -> None:
    dockerfile = (ROOT / "docker/Dockerfile").read_text()
    found = re.search(r"^HEALTHCHECK (.*?)\\\n\s+CMD (\[.*\])$", dockerfile, re.M)
    assert found
    flags = dict(re.findall(r"--([\w-]+)=(\w+)", found[1]))
    for name in ("mastream", "mastream-gpu"):
        check = dict(SERVICES[name]["healthcheck"])
        assert check.pop("test") == ["CMD", *json.loads(found[2])]
        assert {key.replace("_", "-"): str(value) for key, value in check.items()} == flags


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
