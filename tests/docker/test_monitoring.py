"""The dashboard and the alerts use metrics that the server really exports."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from server.engines.fake import FakeEngine
from server.engines.info import EngineInfo, PlanStage, PlanStatus
from server.metrics import Metrics, Result, Stage

DOCKER = Path(__file__).parents[2] / "docker"
DASHBOARD = json.loads((DOCKER / "grafana/dashboards/mastream.json").read_text())
ALERTS = yaml.safe_load((DOCKER / "prometheus/alerts.yml").read_text())
COMPOSE = yaml.safe_load((DOCKER.parent / "docker-compose.yml").read_text())

PANELS: list[str] = [one["expr"] for panel in DASHBOARD["panels"] for one in panel["targets"]]
RULES: list[str] = [rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]]
OF_PROMETHEUS = {"up"}
BUILT = EngineInfo(FakeEngine().spec, "fake", 1, passed_over=("CUDA: no GPU",))


def exported() -> dict[str, set[str]]:
    """The labels of every sample, by its name, once everything has happened."""
    metrics = Metrics()
    metrics.frame("dropped", "newer")
    metrics.stage("step", 0.01)
    metrics.batch(1)
    metrics.memory_reset("client")
    metrics.rejected("no_capacity")
    metrics.decoded("nvdec")
    metrics.watch_engine(lambda: BUILT)
    metrics.watch_plan(lambda: PlanStatus("failed", 40, "no room"))
    metrics.watch_sessions([], lambda: 0)
    metrics.watch_held(lambda: 0)
    metrics.watch_sources("open", lambda: 0)
    metrics.watch_publishers("live", lambda: 0)
    metrics.published("sent")
    metrics.resumed("intact")
    metrics.recording_ended("bytes")
    metrics.watch_leases("stream", "held", lambda: 0)
    metrics.taken_over("stream", "expired")
    metrics.lease_lost("stream")
    metrics.piece("done")
    metrics.watch_jobs("f", {"queued": lambda: 0}, lambda: 0)
    metrics.count_jobs()
    families = text_string_to_metric_families(metrics.render().decode())
    samples = [sample for family in families for sample in family.samples]
    return {sample.name: set(sample.labels) for sample in samples}


@pytest.mark.parametrize("expression", PANELS + RULES)
def test_an_expression_names_metrics_and_labels_that_are_exported(expression: str) -> None:
    known = exported()
    named = re.findall(r"\b(mastream_\w+|up)(?:\{([^}]*)\})?", expression)
    assert named
    for metric, selector in named:
        if metric not in OF_PROMETHEUS:
            labels = set(re.findall(r"(\w+)(?:=~|!=|!~|=)", selector)) - {"service", "job"}
            assert labels <= known[metric], metric


@pytest.mark.parametrize("expression", PANELS + RULES)
def test_an_expression_asks_for_values_that_occur(expression: str) -> None:
    stages = PlanStage if "mastream_plan_info" in expression else Stage
    for label, values in (("stage", get_args(stages)), ("result", get_args(Result))):
        assert set(re.findall(rf'\b{label}!?="(\w+)"', expression)) <= set(values)


def families() -> dict[str, set[str]]:
    """The labels of every metric, without those that Prometheus itself adds to histograms."""
    found: dict[str, set[str]] = {}
    for name, labels in exported().items():
        family = re.sub(r"_(bucket|sum|count|created)$", "", name)
        found.setdefault(family, set()).update(labels - {"le"})
    plain = {name.removesuffix("_total") for name in found if name.endswith("_total")}
    return {name: labels for name, labels in found.items() if name not in plain}


def test_every_metric_is_on_the_dashboard() -> None:
    assert not [one for one in families() if not any(one in panel for panel in PANELS)]


def test_every_metric_is_described_with_its_labels_and_no_other_is() -> None:
    page = (DOCKER.parent / "docs/observability.md").read_text()
    rows = re.findall(r"^\| `(mastream_\w+)` \| (.*?) \|", page, re.M)
    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows} == families()


@pytest.mark.parametrize("name", ["result", "stage"])
def test_the_values_of_a_label_are_described(name: str) -> None:
    page = (DOCKER.parent / "docs/observability.md").read_text()
    for value in get_args({"result": Result, "stage": Stage}[name]):
        assert f"`{value}`" in page, value


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    taken: dict[tuple[int, int], Any] = {}
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken.keys(), panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= dict.fromkeys(cells, panel["id"])
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_prometheus_looks_for_all_servers_of_compose() -> None:
    settings = yaml.safe_load((DOCKER / "prometheus/prometheus.yml").read_text())
    (job,) = settings["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    servers = {name for name, one in COMPOSE["services"].items() if "env_file" in one}
    assert set(found["names"]) == servers
    assert f"{found['port']}" == COMPOSE["services"]["mastream"]["ports"][0].rpartition(":")[2]
    assert job["job_name"] == "mastream"


def test_grafana_finds_its_source_and_its_dashboards() -> None:
    provisioning = DOCKER / "grafana/provisioning"
    sources = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())
    (source,) = sources["datasources"]
    used = {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]}
    assert used == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"
    providers = yaml.safe_load((provisioning / "dashboards/mastream.yml").read_text())
    folder = providers["providers"][0]["options"]["path"]
    assert f"./docker/grafana/dashboards:{folder}:ro" in COMPOSE["services"]["grafana"]["volumes"]
