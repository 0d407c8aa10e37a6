"""docker/kubernetes: valid by the schemas of Kubernetes and KEDA's, and true of the server."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from launcher.arguments import parse
from server.settings import Settings

FOLDER = Path(__file__).parents[2] / "docker" / "kubernetes"
OVERLAYS = ("base", "gpu", "autoscaled", "ray")
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

_GROUP = {
    "rayStartParams": {"type": "object", "additionalProperties": {"type": "string"}},
    "template": {
        "type": "object",
        "required": ["spec"],
        "properties": {"metadata": {"type": "object"}, "spec": {"type": "object"}},
        "additionalProperties": False,
    },
}
RAY_CLUSTER = {
    "type": "object",
    "required": ["headGroupSpec"],
    "additionalProperties": False,
    "properties": {
        "headGroupSpec": {
            "type": "object",
            "required": ["template"],
            "additionalProperties": False,
            "properties": _GROUP,
        },
        "workerGroupSpecs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["groupName", "maxReplicas", "minReplicas", "template"],
                "additionalProperties": False,
                "properties": _GROUP
                | {"groupName": {"type": "string"}}
                | {
                    name: {"type": "integer", "minimum": 0}
                    for name in ("replicas", "minReplicas", "maxReplicas")
                },
            },
        },
    },
}
"""The part of KubeRay's schema that the file uses; Kubernetes' own has the pods."""

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
        elif one["apiVersion"].startswith("ray.io/"):
            jsonschema.validate(one["spec"], RAY_CLUSTER)
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


(RAY,) = [one for one in things(FOLDER / "ray") if one["kind"] == "RayCluster"]
HEAD = RAY["spec"]["headGroupSpec"]["template"]
(WORKERS,) = RAY["spec"]["workerGroupSpecs"]
WORKER = WORKERS["template"]


@pytest.mark.parametrize("template", [HEAD, WORKER], ids=["head", "worker"])
def test_the_pods_of_ray_are_valid_and_run_no_other_command(template: Thing) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}} | template
    kubernetes_validate.validate(pod, "1.34", strict=True)
    (container,) = template["spec"]["containers"]
    words = container["command"]
    assert words[:3] == ["mastream", "cluster", "node"]
    flags = parse(words[2:])
    assert flags.engines == (0 if template is HEAD else 1)
    assert RAY["metadata"]["annotations"]["ray.io/overwrite-container-cmd"] == "true"
    variables = {one["name"]: one for one in container["env"]}
    assert "secretKeyRef" in variables["RAY_AUTH_TOKEN"]["valueFrom"]
    assert "POD_IP" in variables, "what the command names is there"
    assert {"livenessProbe", "readinessProbe"} <= container.keys(), "or KubeRay adds its own"
    mounts = {one["name"] for one in container.get("volumeMounts", [])}
    assert mounts == {one["name"] for one in template["spec"].get("volumes", [])}


def test_the_head_has_as_many_agents_created_as_there_are_pods_for_them() -> None:
    (head,) = HEAD["spec"]["containers"]
    shell = head["lifecycle"]["postStart"]["exec"]["command"][-1]
    line = re.search(r"until mastream cluster (.*?); do", shell)
    assert line is not None
    flags = parse(shlex.split(line[1]))
    assert flags.n == WORKERS["replicas"] == WORKERS["minReplicas"] == WORKERS["maxReplicas"]
    (worker,) = WORKER["spec"]["containers"]
    (port,) = [one["containerPort"] for one in worker["ports"] if one["name"] == "http"]
    assert flags.ports == (port, port)
    assert worker["readinessProbe"]["httpGet"] == {"path": "/health/ready", "port": "http"}
    assert str(flags.data) in {one["mountPath"] for one in worker["volumeMounts"]}
    given = {one["name"] for one in head["env"] if one["name"].startswith("MASTREAM_")}
    assert {"MASTREAM_SECURITY__SECRET", "MASTREAM_VIDEOS__DATABASE"} <= given


def test_a_worker_drains_before_it_ends() -> None:
    (worker,) = WORKER["spec"]["containers"]
    words = shlex.split(worker["lifecycle"]["preStop"]["exec"]["command"][-1])
    flags = parse(words[2:])
    assert (words[:3], flags.target) == (["mastream", "cluster", "drain"], "$(hostname)")
    (head,) = HEAD["spec"]["containers"]
    drains = {one["name"]: one.get("value") for one in head["env"]}["MASTREAM_DRAIN_SECONDS"]
    assert int(str(drains)) < flags.seconds < WORKER["spec"]["terminationGracePeriodSeconds"]


def test_clients_reach_the_servers_of_ray() -> None:
    labels = WORKER["metadata"]["labels"]
    others = [one for one in things(FOLDER / "ray") if one["kind"] != RAY["kind"]]
    for one in others:
        selector = one["spec"]["selector"]
        assert selector.get("matchLabels", selector) == labels
    assert {one["kind"] for one in others} == {"Service", "PodDisruptionBudget"}
