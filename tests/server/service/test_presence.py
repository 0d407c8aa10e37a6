"""A server's report follows its settings and its engine."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from server.engines.fake import FakeEngine, fake_spec
from server.service.presence import presence
from server.settings import ClusterSettings, Settings, StreamSettings
from server.workers.fleet import Fleet
from server.workers.worker import Worker

pytestmark = pytest.mark.anyio


async def test_a_server_reports_its_address_and_its_free_places() -> None:
    worker = Worker(lambda: FakeEngine(fake_spec(16, 32)), max_sessions=5)
    fleet = Fleet([worker], max_sessions=5)
    settings = Settings(
        streams=StreamSettings(max_sessions=5),
        cluster=ClusterSettings(advertise="https://a.example:8443", node="rack 3"),
    )
    await fleet.start()
    try:
        now = presence(settings, fleet, "videos", is_draining=False)
        assert (now.url, now.node, now.model) == (
            "https://a.example:8443",
            "rack 3",
            fleet.spec.name,
        )
        assert (now.sessions, now.room, now.draining, now.videos) == (0, 5, False, "videos")
        assert presence(settings, fleet, "videos", is_draining=True) == replace(now, draining=True)
        bare = presence(Settings(), fleet, "videos", is_draining=False)
        assert (bare.url, bare.node) == (None, socket.gethostname())
    finally:
        await fleet.stop(1.0)


@pytest.mark.parametrize(
    "url", ["a.example", "ftp://a", "http://user@a", "http://a?x", "http://a b"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="advertise"):
        ClusterSettings(advertise=url)
