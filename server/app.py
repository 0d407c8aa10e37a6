"""The application: routes and middleware around the service."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request

from server.database.video_record import ACTIVE
from server.engines import each_device, make_engine
from server.engines.base import Engine
from server.plans.upgrade import BuildTools
from server.service.running import Service
from server.settings import Settings
from server.web import problems
from server.web.about import ServerFacts, about_router
from server.web.access.auth import Gate
from server.web.access.keys import keys_router
from server.web.body_limit import BodyLimit
from server.web.capacity import LimitFacts, capacity_router
from server.web.cluster import cluster_router
from server.web.health import health_router
from server.web.limit_facts import limit_facts
from server.web.live import routes as live
from server.web.live import sources
from server.web.methods import heads_of
from server.web.models import models_router
from server.web.page import page_router, read_page
from server.web.recordings import recordings_router
from server.web.reference import reference_router
from server.web.request_log import RequestLog
from server.web.streams import stream_router
from server.web.traced_requests import TracedRequests
from server.web.videos import routes as videos
from server.web.videos import uploads
from server.web.videos.video_json import video_json

VERSION = version("mastream")
SUMMARY = "Real-time video segmentation with a memory for every stream"
DESCRIPTION = """
Frames go in by WebSocket at `GET /v1/stream` (sub-protocol `mastream.v1`) or as an uploaded
video; masks come out. Every error is an `application/problem+json` with a stable `code`.
"""


def create_app(
    settings: Settings,
    make: Callable[[], Engine] | None = None,
    build_tools: BuildTools | None = None,
) -> FastAPI:
    """Return the application.

    ``make`` overrides the configured engine and ``build_tools`` what TensorRT plans are built
    with (for tests).

    It responds as soon as its lifespan has begun; until the model is loaded, work is refused with
    ``no_capacity``. ``app.state.service`` is its Service.
    """
    makers = [make] if make else [partial(make_engine, e) for e in each_device(settings.engine)]
    service = Service(settings, makers, build_tools)
    app = FastAPI(
        title="mastream",
        version=VERSION,
        summary=SUMMARY,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        # FastAPI's own spans would contain queries, and with them tickets.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.service = service
    service.render = video_json(app)
    problems.install(app, service.metrics.rejected)
    once_loaded = [Depends(_provide_jobs)]
    health = health_router(service.reasons, service.metrics, service.parts.access)
    models = models_router(service.parts.worker, service.plan)
    routers: tuple[tuple[APIRouter, list[Any]], ...] = (
        (health, []),
        (models, once_loaded),
        (videos.router, once_loaded),
        (uploads.router, once_loaded),
        (live.router, []),
        (sources.router, []),
        (about_router(_facts(service)), []),
        (capacity_router(service.capacities, _limits(service)), []),
        (cluster_router(lambda: service.membership, lambda: service.live.streams.whereabouts), []),
        (recordings_router(service.parts.recordings), []),
        (keys_router(service.parts.keyring, service.parts.access), []),
        (page_router(read_page()), []),
        (reference_router(app.openapi), []),
    )
    for router, needs in routers:
        app.include_router(router, dependencies=needs)
        app.include_router(heads_of(router), dependencies=needs)
    app.include_router(stream_router(service.parts.streams))
    app.add_middleware(
        Gate,
        who=service.parts.access,
        security=settings.security,
        keyring=service.parts.keyring,
        rejected=service.metrics.rejected,
    )
    app.add_middleware(BodyLimit)
    app.add_middleware(RequestLog)
    if service.parts.tracing:
        app.add_middleware(TracedRequests, tracing=service.parts.tracing)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    service.begin()
    try:
        yield
    finally:
        await service.end()


def _provide_jobs(request: Request) -> None:
    """Provide the queue of videos and the uploads to their routes. Raises NoCapacity until the
    model is loaded."""
    request.app.state.jobs = request.app.state.service.jobs
    request.app.state.uploads = request.app.state.service.uploads


def _facts(service: Service) -> ServerFacts:
    """Return the sources of the numbers about a service."""
    return ServerFacts(
        settings=service.settings,
        version=VERSION,
        uptime=lambda: time.monotonic() - service.started,
        reasons=service.reasons,
        sessions=lambda: sum(worker.sessions for worker in service.parts.worker.workers),
        streams=lambda: len(service.pulled_streams.streams) if service.pulled_streams else 0,
        videos=lambda: service.metrics.jobs(*ACTIVE),
        held_bytes=lambda: service.parts.budget.total,
        masks=lambda: service.metrics.masks,
    )


def _limits(service: Service) -> dict[str, LimitFacts]:
    """Return the limits of admission, with the sources of their counts."""
    return limit_facts(
        service.settings,
        service.parts.worker,
        lambda: service.pulled_streams,
        service.parts.uploading,
        lambda: service.metrics.jobs(*ACTIVE),
        lambda: service.parts.budget.total,
    )
