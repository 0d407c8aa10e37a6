"""/v1/models: which model is served, and which engines run it."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from pydantic import BaseModel, Field

from models.spec import ModelSpec
from server.engines.info import PlanStage, PlanStatus
from server.errors import NotFound
from server.web.problems import PROBLEMS
from server.workers.serving import Serving


class ServedEngine(BaseModel):
    """One engine that runs a model."""

    provider: str = Field(description="what actually runs it, such as CPUExecutionProvider")
    device: str = Field(description="cpu, or CUDA's number of the GPU and its name")
    precision: str = Field(description="the precision it computes in: fp32, fp16, int8 or fp8")
    max_batch: int = Field(description="maximum number of streams in one step")
    passed_over: list[str] = Field(
        description="providers tried before this one, each with the reason why it failed"
    )


class ComingPlan(BaseModel):
    """The TensorRT plan that the engines switch to while they serve."""

    stage: PlanStage = Field(
        description="off: no plan is used; looking: the cache is searched; building: the service "
        "continues meanwhile; loading: engines are being replaced; serving; failed: the service "
        "continues without a plan"
    )
    percent: int = Field(ge=0, le=100, description="progress of the build")
    detail: str = Field(
        description="off, failed: the reason; building: the current phase; otherwise the plan's "
        "file name"
    )


class ServedModel(BaseModel):
    """One model: its self-description, and its engines."""

    name: str
    provider: str = Field(description="what actually runs it: the first engine's provider")
    engines: list[ServedEngine] = Field(description="one per GPU that serves, or the CPU's")
    plan: ComingPlan
    memory_bytes: int = Field(description="bytes that one stream's memory takes")
    spec: ModelSpec


class ServedModels(BaseModel):
    models: list[ServedModel]


def models_router(worker: Serving, plan: Callable[[], PlanStatus]) -> APIRouter:
    """Return the routes; the worker must have been started before they are called.

    ``plan`` returns the state of the TensorRT plan.
    """
    router = APIRouter(prefix="/v1/models", tags=["models"], responses=PROBLEMS)

    @router.get("")
    async def list_models() -> ServedModels:
        """List every model that a stream or a video can request."""
        return ServedModels(models=[_served(worker, plan())])

    @router.get("/{name}")
    async def get_model(name: str) -> ServedModel:
        """Return one model."""
        if name != worker.spec.name:
            raise NotFound(
                f"There is no model {name[:80]!r}; this server serves {worker.spec.name!r}."
            )
        return _served(worker, plan())

    return router


def _served(worker: Serving, plan: PlanStatus) -> ServedModel:
    spec = worker.spec
    engines = [
        ServedEngine(
            provider=built.provider,
            device=built.device,
            precision=built.spec.precision,
            max_batch=built.max_batch,
            passed_over=list(built.passed_over),
        )
        for built in worker.engines
    ]
    return ServedModel(
        name=spec.name,
        provider=engines[0].provider,
        engines=engines,
        plan=ComingPlan(stage=plan.stage, percent=plan.percent, detail=plan.detail),
        memory_bytes=spec.memory_bytes,
        spec=spec,
    )
