"""/v1/server, with numbers of its own and with a real service."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.testclient import TestClient

from server.app import VERSION, create_app
from server.engines.fake import FakeEngine, fake_spec
from server.settings import Settings, StreamSettings
from server.web.about import ServerFacts, about_router


def test_it_reports_its_use_and_its_limits() -> None:
    app = FastAPI()
    facts = ServerFacts(
        settings=Settings(streams=StreamSettings(max_sessions=9, record=True)),
        version="1.2.3",
        uptime=lambda: 4.56,
        reasons=lambda: ["the engine is being restarted"],
        sessions=lambda: 3,
        streams=lambda: 2,
        videos=lambda: 5,
        held_bytes=lambda: 1000,
        masks=lambda: 777,
    )
    app.include_router(about_router(facts))
    assert TestClient(app).get("/v1/server").json() == {
        "version": "1.2.3",
        "uptime": 4.6,
        "ready": False,
        "reasons": ["the engine is being restarted"],
        "sessions": {"used": 3, "most": 9},
        "streams": {"used": 2, "most": 64},
        "videos": {"used": 5, "most": 100},
        "held_bytes": {"used": 1000, "most": 2**30},
        "masks": 777,
        "records": True,
        "limits": {
            "video_bytes": 2 * 2**30,
            "video_seconds": 14400.0,
            "picture_pixels": 4096 * 4096,
            "resume_seconds": 30.0,
        },
    }


def test_a_service_counts_its_own(tmp_path: Path) -> None:
    app = create_app(Settings(folder=tmp_path), lambda: FakeEngine(fake_spec(48, 64)))
    with TestClient(app) as web:
        assert web.portal
        web.portal.call(app.state.service.loaded)
        with web.websocket_connect("/v1/stream") as socket:
            socket.send_json({"type": "open"})
            assert socket.receive_json()["type"] == "ready"
            body = web.get("/v1/server").json()
    assert (body["version"], body["ready"], body["reasons"]) == (VERSION, True, [])
    assert (body["sessions"]["used"], body["streams"]["used"], body["videos"]["used"]) == (1, 0, 0)
