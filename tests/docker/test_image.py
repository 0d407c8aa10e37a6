"""The parts of the image: its locks, its Dockerfile, the build context, its health check."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from server.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BY_NAME = ("check", "compose-check", "building.sh", "healthcheck", "lock", "sandbox")
SCRIPTS = [
    *(DOCKER / name for name in (*BY_NAME, "camera/publish.sh", "stand-in/postgres")),
    *(ROOT / ".ci" / name for name in ("run", "lowest")),
]


def tool(name: str) -> str:
    """A linter of the `dev` extra, or of the machine."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: make setup")
    return found


def locked(variant: str) -> dict[str, Version]:
    """The version of each package of a lock."""
    lines = (DOCKER / f"requirements-{variant}.txt").read_text()
    found = re.findall(r"^([\w.-]+)==([^\s;]+)", lines, re.M)
    return {canonicalize_name(name): Version(version) for name, version in found}


OPTIONAL = ["cluster", "oidc", "otel"]
"""Extras that the images contain, since their settings reach a container."""


def wanted(*extras: str) -> list[Requirement]:
    project = PROJECT["project"]
    groups = [project["dependencies"], *(project["optional-dependencies"][one] for one in extras)]
    requirements = [Requirement(text) for group in groups for text in group]
    return [one for one in requirements if not one.marker or one.marker.evaluate()]


# the locks


@pytest.mark.parametrize(
    ("variant", "extras", "left_out"),
    [("cpu", OPTIONAL, set()), ("gpu", [*OPTIONAL, "gpu"], {"onnxruntime"})],
)
def test_a_lock_fits_what_pyproject_asks_for(
    variant: str, extras: list[str], left_out: set[str]
) -> None:
    versions = locked(variant)
    for one in wanted(*extras):
        name = canonicalize_name(one.name)
        if name in left_out:
            assert name not in versions
        else:
            assert one.specifier.contains(versions[name]), f"{one}: run docker/lock"


def test_the_build_tools_are_locked_too() -> None:
    for one in map(Requirement, PROJECT["build-system"]["requires"]):
        assert one.specifier.contains(locked("build")[canonicalize_name(one.name)])


@pytest.mark.parametrize("variant", ["cpu", "gpu", "build"])
def test_every_package_of_a_lock_has_hashes_and_none_is_torch(variant: str) -> None:
    text = (DOCKER / f"requirements-{variant}.txt").read_text()
    _, *blocks = re.split(r"^(?=[\w.-]+==)", text, flags=re.M)
    assert all("--hash=sha256:" in block for block in blocks)
    assert not {"torch", "torchvision"} & locked(variant).keys()


# the Dockerfile and what enters the build


@pytest.mark.parametrize("name", ["Dockerfile", "stand-in/Dockerfile"])
def test_a_dockerfile_passes_its_linter(name: str) -> None:
    command = [tool("hadolint"), str(DOCKER / name)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_scripts_pass_their_linter(script: Path) -> None:
    command = [tool("shellcheck"), "-x", str(script)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert found.returncode == 0, found.stdout


def test_the_base_is_pinned_by_digest_and_the_image_is_not_roots() -> None:
    assert re.search(r"^ARG BASE=\S+:[\w.-]+@sha256:[0-9a-f]{64}$", DOCKERFILE, re.M)
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)) == {"${BASE}"}
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.M) == ["10001:10001"]


def test_the_image_is_of_this_version() -> None:
    assert f"ARG VERSION={PROJECT['project']['version']}\n" in DOCKERFILE


def test_every_setting_in_the_image_is_one() -> None:
    named = set(re.findall(r"MASTREAM_(\w+)=", DOCKERFILE))
    for name in named:
        group, _, field = name.lower().partition("__")
        assert group in Settings.model_fields
        assert not field or field in type(getattr(Settings(), group)).model_fields


def test_what_the_build_needs_enters_it_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    packages = {name.partition(".")[0] for name in PROJECT["tool"]["setuptools"]["packages"]}
    copied = re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.M)
    assert "*" in lines
    assert packages <= allowed
    for path in re.findall(r"docker/\S*\w", "\n".join(copied).replace("${VARIANT}", "cpu")):
        assert any(fnmatch(path, pattern) for pattern in allowed), path
    assert not allowed & {".git", ".venv", "tests", "data", "docker"}


def test_every_package_is_installed() -> None:
    named = set(PROJECT["tool"]["setuptools"]["packages"])
    folders = {name.partition(".")[0] for name in named}
    files = (file for folder in folders for file in (ROOT / folder).rglob("__init__.py"))
    code = {".".join(file.parent.relative_to(ROOT).parts) for file in files}
    only_files = set(PROJECT["tool"]["setuptools"]["package-data"]) - code
    assert named == code | only_files


def test_the_docker_folder_is_no_package() -> None:
    assert not list(DOCKER.rglob("__init__.py"))


# make image


@pytest.mark.parametrize(
    ("answers", "command"),
    [
        ({"docker": 0, "podman": 0}, "docker build "),
        ({"docker": 1, "podman": 0}, "podman build --format docker "),
        ({"docker": 1, "buildah": 0}, "buildah build --format docker "),
    ],
)
def test_an_image_is_built_by_an_engine_that_works_and_keeps_its_health_check(
    tmp_path: Path, answers: dict[str, int], command: str
) -> None:
    """``answers`` is the exit code of each engine that is installed."""
    for name in ("git", "sh"):
        (tmp_path / name).symlink_to(shutil.which(name) or pytest.skip(f"{name} is missing"))
    for name, code in answers.items():
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (tmp_path / name).chmod(0o755)
    make = [shutil.which("make") or pytest.skip("make is missing"), "-n", "image"]
    told = subprocess.run(
        make, cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True
    ).stdout
    assert command in told
    assert re.search(r"--build-arg REVISION=([0-9a-f]{40}|unknown) ", told)


# the health check


@contextmanager
def answering(status: int, body: bytes, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server on a free port that gives this answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.protocol_version = "HTTP/1.1"
            self.send_response(status if self.path == "/health/ready" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def check_health(port: int) -> tuple[int, str]:
    command = ["bash", str(DOCKER / "healthcheck")]
    environment = {"MASTREAM_PORT": str(port), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stderr


def test_a_service_that_is_ready_is_healthy() -> None:
    with answering(200, b"{}") as port:
        assert check_health(port) == (0, "")


def test_a_service_that_is_not_ready_is_unhealthy_and_says_why() -> None:
    with answering(503, b'{"reasons": ["the model is being loaded"]}') as port:
        code, told = check_health(port)
    assert code == 1
    assert "the model is being loaded" in told


def test_a_port_where_nothing_answers_is_unhealthy() -> None:
    with answering(200, b"") as port:
        pass
    code, told = check_health(port)
    assert code == 1
    assert f"Nothing answers on port {port}" in told


def test_a_service_that_speaks_tls_is_checked_too(tmp_path: Path) -> None:
    tls = own_certificate(tmp_path)
    with answering(200, b"{}", tls) as port:
        assert check_tls(port) == (0, "")
    with answering(503, b"the model is being loaded", tls) as port:
        assert check_tls(port) == (1, "the model is being loaded\n")
    code, told = check_tls(port)
    assert code == 1 and f"Nothing answers on port {port}" in told


def own_certificate(folder: Path) -> ssl.SSLContext:
    """A server's context with a certificate that nobody has signed."""
    key, certificate = str(folder / "key.pem"), str(folder / "certificate.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    command += f" -subj /CN=mastream -keyout {key} -out {certificate}"
    subprocess.run(command.split(), check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def check_tls(port: int) -> tuple[int, str]:
    command = [sys.executable, "-I", "-S", str(DOCKER / "healthcheck.py"), str(port)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr
