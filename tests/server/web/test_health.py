"""Health: live as long as it answers, ready as long as there is no reason against it."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.testclient import TestClient

from server.metrics import Metrics
from server.web.health import health_router


def test_it_is_ready_until_there_is_a_reason_against_it() -> None:
    reasons: list[str] = []
    app = FastAPI()
    app.include_router(health_router(lambda: reasons, Metrics()))
    web = TestClient(app)
    assert web.get("/health/ready").status_code == 200
    reasons += ["the engine is being restarted", "the disk is full"]
    answer = web.get("/health/ready")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["reasons"] == reasons
    assert answer.json()["detail"] == "not ready: the engine is being restarted; the disk is full"
    assert web.get("/health/live").status_code == 200


def test_metrics_are_in_the_exposition_format() -> None:
    metrics = Metrics()
    metrics.frame("segmented")
    app = FastAPI()
    app.include_router(health_router(list, metrics))
    answer = TestClient(app).get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'mastream_frames_total{cause="",result="segmented"} 1.0' in answer.text
