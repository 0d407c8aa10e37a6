"""The settings with which Ray is started, on every machine and in every command.

The variables are settings of Ray, not its API: a test per row shows that this Ray knows it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import NoRay

NAMESPACE = "mastream"
ENGINE = "engine"
"""The resource of which each agent takes one on machines without GPUs."""

OBJECT_STORE_BYTES = 80 * 10**6
"""Agents pass no objects; this is about the least that Ray accepts."""


@dataclass(frozen=True, slots=True)
class RaySetting:
    """An environment variable of Ray, with the reason for its value."""

    name: str
    value: str
    reason: str


SETTINGS = (
    RaySetting("RAY_health_check_period_ms", "1000", "a lost machine is noticed within seconds"),
    RaySetting("RAY_health_check_timeout_ms", "2000", "a busy network is not a lost machine"),
    RaySetting("RAY_health_check_failure_threshold", "3", "nor is one late answer"),
    RaySetting(
        "RAY_gcs_rpc_server_reconnect_timeout_s", "3600", "machines survive an hour without a head"
    ),
    RaySetting(
        "RAY_kill_child_processes_on_worker_exit", "0", "a server drains after its agent died"
    ),
    RaySetting(
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S", "0", "servers drain at once when Ray is stopped"
    ),
    RaySetting("RAY_AUTH_MODE", "token", "anyone who can reach Ray's ports can run any code"),
    RaySetting("RAY_USAGE_STATS_ENABLED", "0", "nothing is reported to Ray's makers"),
)


def apply_settings(environment: MutableMapping[str, str]) -> None:
    """Add the settings to an environment, before Ray is imported; existing values stay."""
    for one in SETTINGS:
        environment.setdefault(one.name, one.value)


def check_token(environment: Mapping[str, str]) -> None:
    """Raise NoRay if a token is needed and there is none."""
    if environment.get("RAY_AUTH_MODE", "").lower() != "token" or environment.get("RAY_AUTH_TOKEN"):
        return
    place = environment.get("RAY_AUTH_TOKEN_PATH")
    path = Path(place) if place else Path.home() / ".ray" / "auth_token"
    if not path.is_file():
        raise NoRay(
            f"There is no token for Ray in {path}: make one with `ray get-auth-token --generate` "
            "and copy the file to every machine, or set RAY_AUTH_TOKEN."
        )


def prepare() -> None:
    """Apply the settings to this process. Raises NoRay if there is no token."""
    apply_settings(os.environ)
    check_token(os.environ)
