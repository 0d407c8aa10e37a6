"""The container engine, by Docker's API: lists containers, their health, and anything left
behind."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
SECONDS = 120.0


@dataclass(frozen=True)
class Container:
    id: str
    service: str
    running: bool
    exit_code: int | None
    """None while it runs."""
    health: str
    """Empty if it has no health check."""


class Engine:
    """The containers, networks and volumes of one project of Docker Compose."""

    def __init__(self, socket: str, project: str) -> None:
        self._project = project
        transport = httpx.HTTPTransport(uds=socket)
        self._api = httpx.Client(transport=transport, base_url="http://engine", timeout=SECONDS)

    def containers(self, service: str = "") -> list[Container]:
        """Return the containers of one service, or all."""
        found = [self._inspected(one["Id"]) for one in self._listed("containers")]
        return [one for one in found if one and service in ("", one.service)]

    def stop(self, container: Container) -> None:
        """Stop it as ``docker stop`` does; return when it has ended."""
        self._api.post(f"/containers/{container.id}/stop").raise_for_status()

    def start(self, container: Container) -> None:
        self._api.post(f"/containers/{container.id}/start").raise_for_status()

    def log(self, container: Container) -> str:
        flags = {"stdout": "true", "stderr": "true"}
        answer = self._api.get(f"/containers/{container.id}/logs", params=flags)
        return answer.raise_for_status().text

    def check_health(self, container: Container) -> None:
        """Run its health check now: podman leaves that to systemd, which may be absent."""
        self._api.get(f"/v4.0.0/libpod/containers/{container.id}/healthcheck")

    def left(self) -> list[str]:
        """Return how many containers, networks and volumes are left."""
        kinds = ("containers", "networks", "volumes")
        return [f"{len(found)} {kind}" for kind in kinds if (found := self._listed(kind))]

    def _listed(self, kind: str) -> list[dict[str, Any]]:
        path = {"containers": "/containers/json"}.get(kind, f"/{kind}")
        filters = json.dumps({"label": [f"{PROJECT}={self._project}"]})
        answer = self._api.get(path, params={"all": "true", "filters": filters})
        found = answer.raise_for_status().json()
        return (found["Volumes"] if kind == "volumes" else found) or []

    def _inspected(self, id_: str) -> Container | None:
        answer = self._api.get(f"/containers/{id_}/json")
        if answer.is_error:  # removed since it was listed: podman answers 404 or 500
            return None
        found = answer.json()
        state = found["State"]
        return Container(
            id=id_,
            service=found["Config"]["Labels"][SERVICE],
            running=state["Running"],
            exit_code=state["ExitCode"] if state["Status"] == "exited" else None,
            health=(state.get("Health") or {}).get("Status", ""),
        )
