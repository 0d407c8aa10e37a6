"""The profile `monitoring`: Prometheus finds the servers by DNS and reads their metrics."""

from __future__ import annotations

from collections.abc import Iterator

from project import Project, fetch, until


def shows(project: Project) -> Iterator[str]:
    project = project.using("monitoring")
    project.up("mastream", "prometheus")
    project.wait_healthy("mastream", "prometheus")
    yield sees(project, "mastream", 1)


def sees(project: Project, service: str, number: int) -> str:
    """Wait until Prometheus reads the metrics of ``number`` servers of a service."""
    query = f'{project.url("prometheus")}/api/v1/query?query=up{{service="{service}"}}==1'
    until(
        lambda: len(fetch(query)["data"]["result"]) == number,
        lambda: f"Prometheus does not see {number} {service}: {fetch(query)}",
    )
    return f"Prometheus finds {service} by DNS and reads the metrics of {number}"
