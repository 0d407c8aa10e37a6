"""Which TensorRT plan is needed to replace the serving engine, and whether one is cached."""

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
"""Precisions of quantised (Q/DQ) graphs; their plans keep them, whatever precision is requested."""


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """The plan that is needed.

    It is built from the file ``model``, which describes itself as ``spec``, and cached in
    ``folder``. It runs 1 to ``max_batch`` streams per step on the GPU with CUDA's number
    ``device``.
    """

    model: Path
    spec: ModelSpec
    folder: Path
    precision: str
    max_batch: int
    device: int

    def is_met_by(self, described: PlanDescription, source: str, here: Machine) -> bool:
        """Return whether an existing plan can serve this request.

        It must come from the same model and the same rewriting, cover the batch sizes, have the
        precision and fit this machine. ``source`` is the digest of the model's file.
        """
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
    """Return whether the specs are equal, trained weights included, ignoring precision and how
    weights are stored."""
    return replace(other, precision=one.precision, weights=one.weights) == one


def find_plan(request: PlanRequest, here: Machine) -> Path | None:
    """Return a cached plan that meets the request and fits this machine, None if there is none.

    It reads the whole model: do not call it on the event loop. Raises OSError if the model cannot
    be read.
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
    """Return why no plan is wanted, in one sentence; None if one is."""
    if settings.plan == "off":
        return "It is switched off (MASTREAM_ENGINE__PLAN)."
    if settings.name != "onnx_rt":
        return f"The engine is {settings.name}; only onnx_rt switches to a plan."
    if settings.provider != "auto":
        return f"The provider is set to {settings.provider}; only auto switches to a plan."
    if gpu(engines[0].device) is None:
        return "The model does not run on a GPU."
    return None


def make_request(settings: EngineSettings, first: EngineInfo) -> PlanRequest:
    """Return the plan that the serving engine needs. Raises NotFound if its model is gone."""
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
    """Return the settings of an engine that runs the plan on the GPU of ``engine``."""
    found = gpu(engine.device)
    assert found, "a plan runs on a GPU"
    changed = {"name": "tensor_rt", "model": plan, "devices": str(found[0])}
    return settings.model_copy(update=changed)


def gpu(device: str) -> tuple[int, str] | None:
    """Return the number and name of the GPU in an engine's ``device``; None for the CPU."""
    found = re.fullmatch(r"cuda:(\d+) (.*)", device)
    return (int(found[1]), found[2]) if found else None
