"""/v1/models: what is served, and what runs it."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from models.spec import ModelSpec
from server.errors import NotFound
from server.web.problems import PROBLEMS
from server.worker import Worker


class ServedModel(BaseModel):
    """One model: what its artefact says of itself, and where it runs."""

    name: str
    provider: str = Field(description="what really runs it, such as CPUExecutionProvider")
    memory_bytes: int = Field(description="that one stream's memory takes")
    spec: ModelSpec


class ServedModels(BaseModel):
    models: list[ServedModel]


def models_router(worker: Worker) -> APIRouter:
    """The routes; the worker must have been started when they are called."""
    router = APIRouter(prefix="/v1/models", tags=["models"], responses=PROBLEMS)

    @router.get("")
    async def list_models() -> ServedModels:
        """Every model that a stream or a video can ask for."""
        return ServedModels(models=[_served(worker)])

    @router.get("/{name}")
    async def get_model(name: str) -> ServedModel:
        """One model."""
        if name != worker.spec.name:
            raise NotFound(f"no model is called {name[:80]!r}; {worker.spec.name!r} is served here")
        return _served(worker)

    return router


def _served(worker: Worker) -> ServedModel:
    spec = worker.spec
    return ServedModel(
        name=spec.name, provider=worker.provider, memory_bytes=spec.memory_bytes, spec=spec
    )
