"""/v1/models, with a worker that serves."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from server.engines.fake import FakeEngine, fake_spec
from server.engines.info import PlanStatus
from server.web import problems
from server.web.models import models_router
from server.workers.worker import Worker

pytestmark = pytest.mark.anyio


async def test_models_say_what_their_artefacts_say_of_themselves() -> None:
    def make() -> FakeEngine:
        engine = FakeEngine(fake_spec(32, 48))
        engine.passed_over = ("cuda: there is no GPU",)
        return engine

    worker = Worker(make)
    await worker.start()
    app = FastAPI()
    problems.install(app)
    coming = PlanStatus("building", 42, "Tactic selection")
    app.include_router(models_router(worker, lambda: coming))
    async with AsyncClient(transport=ASGITransport(app), base_url="http://here") as web:
        (listed,) = (await web.get("/v1/models")).json()["models"]
        assert (await web.get("/v1/models/fake")).json() == listed
        unknown = await web.get("/v1/models/nobody")
    await worker.stop()
    assert (listed["name"], listed["provider"]) == ("fake", "fake")
    assert (listed["spec"]["height"], listed["spec"]["width"]) == (32, 48)
    assert listed["memory_bytes"] == fake_spec(32, 48).memory_bytes
    (engine,) = listed["engines"]
    assert engine == {
        "provider": "fake",
        "device": "cpu",
        "precision": "fp32",
        "max_batch": 4,
        "passed_over": ["cuda: there is no GPU"],
    }
    plan = {"stage": "building", "percent": 42, "detail": "Tactic selection"}
    assert listed["plan"] == plan
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
