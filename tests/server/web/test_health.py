"""Health: live as long as it answers, ready as long as there is no reason against it."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI
from fastapi.testclient import TestClient

from server.errors import Fault
from server.metrics import Metrics
from server.security.exposure import Access
from server.web.health import health_router


def test_it_is_ready_until_there_is_a_reason_against_it() -> None:
    reasons: list[str] = []
    app = FastAPI()
    app.include_router(health_router(lambda: reasons, Metrics(), Access.LOCAL))
    web = TestClient(app)
    assert web.get("/health/ready").status_code == 200
    reasons += ["the engine is being restarted", "the disk is full"]
    answer = web.get("/health/ready")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "1"
    problem = answer.json()
    assert problem["type"] == "urn:mastream:error:not_ready"
    assert (problem["code"], problem["title"]) == ("not_ready", "not ready")
    assert problem["reasons"] == reasons
    assert (
        answer.json()["detail"]
        == "Not ready: the engine is being restarted; the disk is full. Try again in a moment."
    )
    assert web.get("/health/live").status_code == 200


def test_metrics_are_in_the_exposition_format() -> None:
    metrics = Metrics()
    metrics.frame("segmented")
    app = FastAPI()
    app.include_router(health_router(list, metrics, Access.LOCAL))
    answer = TestClient(app).get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'mastream_frames_total{cause="",result="segmented"} 1.0' in answer.text


def test_a_database_that_fails_or_dawdles_leaves_the_rest_of_the_metrics() -> None:
    metrics = Metrics()

    def fail() -> float:
        raise Fault("the database failed")

    def dawdle() -> float:
        """1 on the event loop, where nothing may take its time, else 0."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return 0
        return 1

    metrics.watch_jobs("f", {"queued": fail, "running": dawdle}, fail)
    app = FastAPI()
    app.include_router(health_router(list, metrics, Access.LOCAL))
    answer = TestClient(app).get("/metrics")
    assert answer.status_code == 200
    assert 'mastream_jobs{folder="f",state="running"} 0.0' in answer.text
    assert 'state="queued"' not in answer.text
    assert "mastream_pieces_held NaN" in answer.text
