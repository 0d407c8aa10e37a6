"""/v1/models: what is served, and what runs it."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from models.spec import ModelSpec
from server.errors import NotFound
from server.serving import Serving
from server.web.problems import PROBLEMS


class ServedEngine(BaseModel):
    """One engine that runs a model."""

    provider: str = Field(description="what really runs it, such as CPUExecutionProvider")
    device: str = Field(description="cpu, or CUDA's number of the GPU and its name")
    max_batch: int = Field(description="streams in one step")
    passed_over: list[str] = Field(
        description="what would have been preferred and could not be, each with the reason"
    )


class ServedModel(BaseModel):
    """One model: what its artefact says of itself, and where it runs."""

    name: str
    provider: str = Field(description="what really runs it; the first engine's")
    engines: list[ServedEngine] = Field(description="one for each GPU that serves, or the CPU's")
    memory_bytes: int = Field(description="that one stream's memory takes")
    spec: ModelSpec


class ServedModels(BaseModel):
    models: list[ServedModel]


def models_router(worker: Serving) -> APIRouter:
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


def _served(worker: Serving) -> ServedModel:
    spec = worker.spec
    engines = [
        ServedEngine(
            provider=built.provider,
            device=built.device,
            max_batch=built.max_batch,
            passed_over=list(built.passed_over),
        )
        for built in worker.engines
    ]
    return ServedModel(
        name=spec.name,
        provider=engines[0].provider,
        engines=engines,
        memory_bytes=spec.memory_bytes,
        spec=spec,
    )
