"""/health/live, /health/ready and /metrics, for supervisors and monitoring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from server.errors import NotReady
from server.metrics import CONTENT_TYPE, Metrics
from server.security.exposure import Access
from server.web.problems import PROBLEMS, RETRY_SOON, problem_response

_EXPOSITION: dict[int | str, dict[str, Any]] = {
    200: {"content": {CONTENT_TYPE: {"schema": {"type": "string"}}}}
}


class Alive(BaseModel):
    """The process responds."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """Streams and videos are accepted."""

    status: Literal["ready"] = "ready"
    access: Access = Field(description="who may use the server: local, keys or open")


def health_router(reasons: Callable[[], list[str]], metrics: Metrics, access: Access) -> APIRouter:
    """Return the routes; ``reasons`` returns why the service is not ready, nothing if it is, and
    ``access`` is who may use it."""
    router = APIRouter(tags=["health"], responses=PROBLEMS)

    @router.get("/health/live")
    async def live() -> Alive:
        """Report that the process responds; restart it if it does not."""
        return Alive()

    @router.get("/health/ready", response_model=Ready)
    async def ready() -> JSONResponse | Ready:
        """Report whether to send work here; 503 with the reasons if not."""
        found = reasons()
        if not found:
            return Ready(access=access)
        problem = NotReady(f"Not ready: {'; '.join(found)}. Try again in a moment.").problem()
        return problem_response(problem | {"reasons": found}, RETRY_SOON)

    @router.get("/metrics", response_class=Response, responses=_EXPOSITION)
    async def prometheus() -> Response:
        """Return the service's metrics for Prometheus."""
        await run_in_threadpool(metrics.count_jobs)
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    return router
