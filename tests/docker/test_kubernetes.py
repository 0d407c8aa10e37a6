"""docker/kubernetes: valid by the schemas of Kubernetes and KEDA's, and true of the server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from server.settings import Settings

FOLDER = Path(__file__).parents[2] / "docker" / "kubernetes"
OVERLAYS = ("base", "gpu", "autoscaled")
SCALED_OBJECT = {
    "type": "object",
    "required": ["scaleTargetRef", "triggers"],
    "additionalProperties": False,
    "properties": {
        "scaleTargetRef": {
            "type": "object",
            "required": ["name"],
            "properties": {name: {"type": "string"} for name in ("name", "kind", "apiVersion")},
            "additionalProperties": False,
        },
        "minReplicaCount": {"type": "integer", "minimum": 0},
        "maxReplicaCount": {"type": "integer", "minimum": 1},
        "cooldownPeriod": {"type": "integer"},
        "advanced": {"type": "object", "required": ["horizontalPodAutoscalerConfig"]},
        "triggers": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["type", "metadata"],
                "properties": {
                    "type": {"const": "prometheus"},
                    "metricType": {"enum": ["AverageValue", "Value"]},
                    "metadata": {
                        "type": "object",
                        "required": ["serverAddress", "query", "threshold"],
                        "additionalProperties": {"type": "string"},
                    },
                },
                "additionalProperties": False,
            },
        },
    },
}
"""The part of KEDA's schema that the file uses."""

Thing = dict[str, Any]


def read(path: Path) -> list[Thing]:
    return list(yaml.safe_load_all(path.read_text()))


def kustomization(folder: Path) -> Thing:
    (found,) = read(folder / "kustomization.yaml")
    return found


def things(folder: Path) -> list[Thing]:
    """The objects of a folder and of those that it names."""
    found = []
    for name in kustomization(folder)["resources"]:
        path = (folder / name).resolve()
        assert path.is_relative_to(FOLDER), "kustomize reads nothing from elsewhere"
        found += things(path) if path.is_dir() else read(path)
    return found


def only(kind: str, name: str = "mastream") -> Thing:
    every = things(FOLDER / "autoscaled")
    (found,) = [one for one in every if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


SERVERS = only("StatefulSet")
POD = SERVERS["spec"]["template"]["spec"]
(SERVER,) = POD["containers"]
VARIABLES = {one["name"]: one for one in SERVER["env"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_accepts_every_object(overlay: str) -> None:
    for one in things(FOLDER / overlay):
        if one["apiVersion"].startswith("keda.sh/"):
            jsonschema.validate(one["spec"], SCALED_OBJECT)
        else:
            kubernetes_validate.validate(one, "1.34", strict=True)


def test_each_file_is_used_by_a_kustomization() -> None:
    used = set()
    for folder in map(FOLDER.joinpath, OVERLAYS):
        mine = kustomization(folder)
        patches = [one["path"] for one in mine.get("patches", [])]
        used |= {(folder / name).resolve() for name in (*mine["resources"], *patches)}
    there = set(FOLDER.glob("*/*.yaml")) - set(FOLDER.glob("*/kustomization.yaml"))
    assert there == {path for path in used if path.is_file()}


def test_the_patch_changes_the_server_and_is_valid_where_it_lands() -> None:
    (patch,) = read(FOLDER / "gpu" / "gpu.yaml")
    assert (patch["kind"], patch["metadata"]) == (SERVERS["kind"], SERVERS["metadata"])
    (changed,) = patch["spec"]["template"]["spec"]["containers"]
    assert changed["name"] == SERVER["name"]
    whole = SERVERS | {"spec": SERVERS["spec"] | {"template": {**SERVERS["spec"]["template"]}}}
    whole["spec"]["template"]["spec"] = POD | {"containers": [SERVER | changed]}
    kubernetes_validate.validate(whole, "1.34", strict=True)
    (image,) = kustomization(FOLDER / "gpu")["images"]
    assert SERVER["image"].partition(":")[0] == image["name"]


def test_what_selects_finds_the_servers() -> None:
    labels = SERVERS["spec"]["template"]["metadata"]["labels"]
    budget = only("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    services = [
        only("Service", name)["spec"] for name in ("mastream", SERVERS["spec"]["serviceName"])
    ]
    assert SERVERS["spec"]["selector"]["matchLabels"] == budget == labels
    assert all(one["selector"] == labels for one in services)
    ports = {port["name"] for port in SERVER["ports"]}
    assert {port["targetPort"] for one in services for port in one["ports"]} <= ports
    target = only("ScaledObject")["spec"]["scaleTargetRef"]
    assert target == {key: SERVERS[key] for key in ("apiVersion", "kind")} | {"name": "mastream"}


def test_every_mount_has_a_volume() -> None:
    volumes = {one["name"] for one in POD["volumes"]}
    claims = {one["metadata"]["name"] for one in SERVERS["spec"]["volumeClaimTemplates"]}
    assert {one["name"] for one in SERVER["volumeMounts"]} == volumes | claims


def test_the_grace_is_longer_than_what_happens_in_it() -> None:
    waits = SERVER["lifecycle"]["preStop"]["sleep"]["seconds"]
    drains = int(VARIABLES["MASTREAM_DRAIN_SECONDS"]["value"])
    assert POD["terminationGracePeriodSeconds"] > waits + drains


def test_the_settings_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"$(POD_NAME)": "mastream-0", "$(NODE_NAME)": "node-1"}
    for name, one in VARIABLES.items():
        value = one.get("value", "postgresql+psycopg://mastream@postgres/mastream")
        monkeypatch.setenv(name, re.sub(r"\$\(\w+\)", lambda found: known[found[0]], value))
    settings = Settings()
    assert settings.cluster.advertise == "http://mastream-0.mastream-servers:8000"
    assert list(settings.security.hosts) == ["mastream", "mastream-0.mastream-servers"]


def test_the_name_of_a_service_sets_nothing() -> None:
    assert POD["enableServiceLinks"] is False, "MASTREAM_PORT would be tcp://ADDRESS:8000"


def test_passwords_come_from_a_secret() -> None:
    for name in ("MASTREAM_SECURITY__SECRET", "MASTREAM_VIDEOS__DATABASE"):
        assert "secretKeyRef" in VARIABLES[name]["valueFrom"]


def test_the_autoscaler_asks_for_a_metric_that_the_server_has() -> None:
    (trigger,) = only("ScaledObject")["spec"]["triggers"]
    (metric,) = re.findall(r"mastream_\w+", trigger["metadata"]["query"])
    page = (FOLDER.parents[1] / "docs" / "observability.md").read_text()
    assert f"`{metric}`" in page
    assert int(trigger["metadata"]["threshold"]) < Settings().streams.max_sessions
