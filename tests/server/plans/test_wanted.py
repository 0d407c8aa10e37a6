"""When a plan is needed, which one, and which cached plans can be used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.plan import BatchRange, Machine, PlanDescription, PlanKey, description_path, digest
from models.spec import ModelSpec
from server.engines.fake import fake_spec
from server.engines.info import EngineInfo
from server.plans.wanted import PlanRequest, find_plan, gpu, is_same_model, why_not
from server.settings import EngineSettings

HERE = Machine("NVIDIA L4", "8.9", "11.4.0.106")
KEY = PlanKey(HERE, digest(b"the model"), digest(b"graph"), "fp16", BatchRange(1, 2, 4))


def keep(folder: Path, key: PlanKey, spec: ModelSpec | None = None) -> Path:
    plan = folder / key.file_name("m")
    plan.write_bytes(b"plan")
    half = replace(fake_spec(), precision="fp16", weights="fp16")
    description_path(plan).write_text(PlanDescription(spec or half, key).to_json())
    return plan


def test_a_plan_that_fits_is_found(tmp_path: Path) -> None:
    model, folder = tmp_path / "m.onnx", tmp_path / "plans"
    folder.mkdir()
    model.write_bytes(b"the model")
    for other in (
        replace(KEY, source=digest(b"another model")),
        replace(KEY, precision="fp32"),
        replace(KEY, batch=BatchRange(1, 2, 2)),
        replace(KEY, batch=BatchRange(2, 2, 4), graph=digest(b"2")),
        replace(KEY, columns=True, graph=digest(b"3")),
        replace(KEY, machine=replace(HERE, gpu="NVIDIA H100")),
        replace(KEY, rewriting=KEY.rewriting - 1, graph=digest(b"5")),
    ):
        keep(folder, other)
    keep(folder, replace(KEY, graph=digest(b"4")), fake_spec(64, 64))
    (folder / "broken.plan.json").write_text("{")
    request = PlanRequest(model, fake_spec(), folder, "fp16", 4, 0)
    assert find_plan(request, HERE) is None
    plan = keep(folder, KEY)
    assert find_plan(request, HERE) == plan
    assert find_plan(replace(request, max_batch=3), HERE) == plan
    plan.unlink()
    assert find_plan(request, HERE) is None
    assert find_plan(replace(request, folder=tmp_path / "absent"), HERE) is None


def test_a_quantised_models_plan_keeps_its_own_precision(tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(b"the model")
    plan = keep(tmp_path, replace(KEY, precision="int8"))
    assert find_plan(PlanRequest(model, fake_spec(), tmp_path, "fp16", 4, 0), HERE) == plan


def test_the_same_model_may_compute_otherwise() -> None:
    spec = fake_spec()
    assert is_same_model(spec, replace(spec, precision="int8", weights="int8"))
    for change in ({"fingerprint": "other"}, {"height": 64}, {"classes": spec.classes[1:]}):
        assert not is_same_model(spec, replace(spec, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "device", "reason"),
    [
        ({}, "cuda:0 NVIDIA L4", None),
        ({"plan": "off"}, "cuda:0 NVIDIA L4", "switched off"),
        ({"name": "pytorch"}, "cuda:0 NVIDIA L4", "The engine is pytorch"),
        ({"provider": "tensorrt"}, "cuda:0 NVIDIA L4", "provider is set to tensorrt"),
        ({"provider": "cuda"}, "cuda:0 NVIDIA L4", "provider is set to cuda"),
        ({}, "cpu", "does not run on a GPU"),
    ],
)
def test_a_plan_is_looked_for_only_where_it_may_serve(
    change: dict[str, Any], device: str, reason: str | None
) -> None:
    told = why_not(EngineSettings(**change), [EngineInfo(fake_spec(), "CUDA", 4, device)])
    assert told == reason if reason is None else reason in str(told)


def test_where_an_engine_runs_is_read_from_what_it_says() -> None:
    assert gpu("cuda:1 NVIDIA H100 80GB HBM3") == (1, "NVIDIA H100 80GB HBM3")
    assert gpu("cpu") is None
