"""What a server gets from the command's options and from its agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher.errors import WrongUse
from launcher.options import ServerOptions, environment_of, ports_of, settings_of, url_of

OPTIONS = ServerOptions(folder=Path("/srv/data"), host="0.0.0.0")


def test_a_server_has_its_own_folder_port_and_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MASTREAM_LOG_LEVEL", "debug")
    options = ServerOptions(
        Path("/srv/data"), "0.0.0.0", settings={"MASTREAM_PORT": "1", "MASTREAM_LOG_LEVEL": "info"}
    )
    found = environment_of(options, 3, "gpu-a", 8002)
    assert "OMP_NUM_THREADS" not in found
    assert {key: value for key, value in found.items() if key.startswith("MASTREAM_")}.items() >= {
        "MASTREAM_FOLDER": "/srv/data/agent-3",
        "MASTREAM_HOST": "0.0.0.0",
        "MASTREAM_PORT": "8002",
        "MASTREAM_LOG_LEVEL": "info",
        "MASTREAM_CLUSTER__ADVERTISE": "http://gpu-a:8002",
        "MASTREAM_CLUSTER__NODE": "gpu-a",
    }.items()


def test_a_servers_address_names_its_machine_unless_it_listens_on_loopback() -> None:
    assert url_of(OPTIONS, "gpu-a", 8002) == "http://gpu-a:8002"
    for host in ("127.0.0.1", "localhost", "::1"):
        assert url_of(ServerOptions(Path("/d"), host), "gpu-a", 80) == "http://127.0.0.1:80"


def test_a_certificate_makes_the_address_https() -> None:
    settings = {"MASTREAM_SECURITY__CERTIFICATE": "a.pem"}
    assert url_of(ServerOptions(Path("/d"), "::", settings=settings), "a", 1) == "https://a:1"


def test_the_address_is_a_template() -> None:
    options = ServerOptions(Path("/d"), advertise="https://{node}.example:{port}/x")
    assert url_of(options, "a", 9) == "https://a.example:9/x"


def test_the_address_may_be_the_machines_own() -> None:
    options = ServerOptions(Path("/d"), advertise="http://{ip}:{port}")
    assert url_of(options, "127.0.0.1", 9) == "http://127.0.0.1:9"
    assert url_of(options, "::1", 9) == "http://[::1]:9"
    assert url_of(options, "nowhere.invalid", 9) == "http://nowhere.invalid:9"


@pytest.mark.parametrize("template", ["http://{host}", "http://{", "http://{}"])
def test_a_template_with_other_fields_is_refused(template: str) -> None:
    with pytest.raises(WrongUse, match="not a template"):
        url_of(ServerOptions(Path("/d"), advertise=template), "a", 9)


def test_settings_of_a_command_reach_the_servers() -> None:
    given = {"MASTREAM_PORT": "1", "OMP_NUM_THREADS": "4", "HOME": "/root", "RAY_AUTH_TOKEN": "x"}
    assert settings_of(given) == {"MASTREAM_PORT": "1", "OMP_NUM_THREADS": "4"}


def test_ports_are_a_range_or_one() -> None:
    assert ports_of("8000-8003") == (8000, 8003)
    assert ports_of("8000") == (8000, 8000)


@pytest.mark.parametrize("text", ["", "x", "9-8", "0-5", "1-65536", "8000-8001-8002"])
def test_other_ranges_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid literal|not a range"):
        ports_of(text)
