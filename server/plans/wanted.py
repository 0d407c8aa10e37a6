"""Which TensorRT plan is wanted in place of an engine that serves, and whether one is kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from models.plan import REWRITING, Machine, PlanDescription, PlanError, digest
from models.spec import ModelSpec
from server.engines.info import EngineInfo
from server.engines.onnx_graph import shipped_model
from server.settings import EngineSettings

OWN_PRECISIONS = ("int8", "fp8")
"""Of quantised (Q/DQ) graphs, whose plans have them whatever was asked for."""


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """The plan that is wanted: of the file ``model``, which says ``spec`` of itself, kept in
    ``folder``, for 1 to ``max_batch`` streams a step on the GPU that CUDA numbers ``device``."""

    model: Path
    spec: ModelSpec
    folder: Path
    precision: str
    max_batch: int
    device: int

    def is_met_by(self, described: PlanDescription, source: str, here: Machine) -> bool:
        """Whether a plan that was built from and for this, as it would be built now, will do;
        ``source`` is the digest of the model's file."""
        key = described.key
        return (
            (key.source, key.rewriting, key.columns) == (source, REWRITING, False)
            and key.precision in (self.precision, *OWN_PRECISIONS)
            and key.batch.min == 1
            and key.batch.max >= self.max_batch
            and key.misfit(here) is None
            and is_same_model(self.spec, described.spec)
        )


def is_same_model(one: ModelSpec, other: ModelSpec) -> bool:
    """Whether both say the same of themselves, trained weights included, but for the precision
    they compute in and how they are stored."""
    return replace(other, precision=one.precision, weights=one.weights) == one


def find_plan(request: PlanRequest, here: Machine) -> Path | None:
    """A plan in the request's folder that meets it and fits here.

    Reads the whole model: not for the event loop. Raises OSError where it cannot be read.
    """
    source = digest(request.model.read_bytes())
    for beside in sorted(request.folder.glob("*.plan.json")):
        plan = beside.with_suffix("")
        with suppress(PlanError, OSError, UnicodeDecodeError):
            described = PlanDescription.from_json(beside.read_text())
            if request.is_met_by(described, source, here) and plan.is_file():
                return plan
    return None


def why_not(settings: EngineSettings, engines: Sequence[EngineInfo]) -> str | None:
    """Why no plan is looked for, in one sentence; None where one is."""
    if settings.plan == "off":
        return "it is switched off (MASTREAM_ENGINE__PLAN)"
    if settings.name != "onnx_rt":
        return f"the engine is {settings.name}: only onnx_rt goes over to a plan"
    if settings.provider != "auto":
        return f"the provider {settings.provider} was asked for: only auto goes over to a plan"
    if gpu(engines[0].device) is None:
        return "no GPU serves"
    return None


def make_request(settings: EngineSettings, first: EngineInfo) -> PlanRequest:
    """The plan for the engine that is served by now. Raises NotFound where its model has gone."""
    model = settings.model or shipped_model()
    found = gpu(first.device)
    assert found, "a plan is for a GPU"
    return PlanRequest(
        model=model,
        spec=first.spec,
        folder=settings.cache or model.parent,
        precision=settings.plan,
        max_batch=settings.max_batch,
        device=found[0],
    )


def on_plan(settings: EngineSettings, plan: Path, engine: EngineInfo) -> EngineSettings:
    """The settings of an engine that runs the plan on the GPU where ``engine`` runs."""
    found = gpu(engine.device)
    assert found, "a plan runs on a GPU"
    changed = {"name": "tensor_rt", "model": plan, "devices": str(found[0])}
    return settings.model_copy(update=changed)


def gpu(device: str) -> tuple[int, str] | None:
    """The number and the name in what an engine says of its device; None for the CPU."""
    found = re.fullmatch(r"cuda:(\d+) (.*)", device)
    return (int(found[1]), found[2]) if found else None
