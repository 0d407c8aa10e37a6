"""The queries of the dashboard and the alerts, answered by a real Prometheus that scrapes a real
server under load."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from server_process import server_process

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "docker/grafana/dashboards/mastream.json").read_text())
ALERTS = yaml.safe_load((ROOT / "docker/prometheus/alerts.yml").read_text())
PANELS = [(one["title"], t["expr"]) for one in DASHBOARD["panels"] for t in one["targets"]]
RULES = [rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]]

SERVED = {
    "Up", "Masks a second", "Open sessions", "Bytes of all streams", "Since the engine came back",
    "Engine restarts, last hour", "Frames answered", "From arrival to mask", "p95 of each stage",
    "Frames in a step", "Sessions by state", "Uploaded videos", "Memories emptied",
    "Pulled sources", "Event loop",
}  # fmt: skip
"""Panels that have data on any server with streams; the others wait for a fault, a GPU, a limit."""


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[httpx.Client]:
    """Run Prometheus, with the shipped rules, on one target; yield a client for its API."""
    found = shutil.which("prometheus")
    if found is None:
        pytest.skip("Prometheus is not installed: apt-get install prometheus")
    scrape = {
        "job_name": "mastream",
        "static_configs": [{"targets": [target], "labels": {"service": "mastream"}}],
    }
    rules = [str(ROOT / "docker/prometheus/alerts.yml")]
    times = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings = {"global": times, "rule_files": rules, "scrape_configs": [scrape]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    flags = (
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        "--web.listen-address=127.0.0.1:0",
    )
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen([found, *flags], stderr=log)
        try:
            with httpx.Client(base_url=f"http://{listening(folder / 'log')}", timeout=10) as web:
                yield web
        finally:
            process.kill()
            process.wait()


def listening(log: Path) -> str:
    """Return the address that Prometheus has chosen."""
    pattern = r'msg="Listening on" address=(\S+)'
    met = eventually(lambda: re.search(pattern, log.read_text()))
    return str(met[1])


def eventually(check: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Return the first true result of ``check``; fail after a while."""
    until = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < until, "it never became true"
        time.sleep(0.2)
    return found


@contextmanager
def load(url: str) -> Iterator[None]:
    command = [sys.executable, "-m", "clients.python.cli", "load", "--url", url]
    options = ["-n", "2", "--rate", "5", "--seconds", "120"]
    process = subprocess.Popen([*command, *options], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def result(web: httpx.Client, expression: str) -> list[Any]:
    """Return the result of an expression. Fails if Prometheus refuses it."""
    query = expression.replace("$__rate_interval", "30s").replace("$service", ".*")
    answer = web.get("/api/v1/query", params={"query": query}).json()
    assert answer["status"] == "success", (query, answer)
    found: list[Any] = answer["data"]["result"]
    return found


@pytest.mark.timeout(180)
def test_every_query_is_answered_under_load(tmp_path: Path) -> None:
    with (
        server_process(tmp_path / "data") as server,
        prometheus(tmp_path, server.address) as web,
        load(server.http),
    ):
        assert {title for title, _ in PANELS} >= SERVED
        for title, expression in PANELS:
            if title in SERVED:
                assert eventually(lambda query=expression: result(web, query)), title
            else:
                result(web, expression)
        assert not any(result(web, rule) for rule in RULES), "no alert fires on a sound server"
        groups = web.get("/api/v1/rules").json()["data"]["groups"]
        assert {rule["health"] for one in groups for rule in one["rules"]} == {"ok"}
