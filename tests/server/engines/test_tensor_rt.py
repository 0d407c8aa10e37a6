"""The engine over TensorRT's plans, on a fake TensorRT: what it refuses and what it asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser

from models.spec import ClassLabel, ModelSpec
from server.engines import make_engine
from server.engines.fake_cuda import FakeCuda
from server.engines.fake_tensorrt import FakePlan, FakeTensorRt
from server.engines.tensor_rt import TensorRtEngine, load_tensorrt
from server.errors import BadInput, EngineFault, NotFound
from server.settings import EngineSettings

GRAPH = """
<ir_version: 10, opset_import: ["": 21]>
first (uint8[B,2,4,3] frame, int64[B] count) => (uint8[B,2,4] mask, int64[B] count_out)
  <int64 channel = {0}>
{
  mask = Gather<axis=3>(frame, channel)
  count_out = Identity(count)
}
"""
"""Labels are the frame's first channel; nothing is remembered."""

SPEC = ModelSpec(
    name="first",
    head="none",
    backbone="none",
    classes=(ClassLabel("any", (0, 0, 0)),) * 256,
    height=2,
    width=4,
    output_stride=1,
    memory=(),
    memory_frames=0,
    memory_horizon=0,
    preset="default",
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
)
HERE = {"gpu": FakeCuda.name, "tensorrt": FakeTensorRt.__version__}


def save(folder: Path, spec: ModelSpec = SPEC, key: Mapping[str, str] = HERE) -> Path:
    """A plan and its description."""
    path = folder / "first.plan"
    onnx.save(parser.parse_model(GRAPH), path)
    described = {"spec": spec.to_dict(), "key": dict(key)}
    (folder / "first.plan.json").write_text(json.dumps(described))
    return path


def make(plan: Path, device: FakeCuda | None = None, **options: Any) -> TensorRtEngine:
    device = device or FakeCuda()
    trt = FakeTensorRt(device, **options)
    return TensorRtEngine(plan, device, max_batch=4, tensorrt=trt)


def test_it_says_what_runs_and_where(tmp_path: Path) -> None:
    engine = make(save(tmp_path))
    assert (engine.provider, engine.device) == ("TensorRT 11.4.0", "cuda:0 fake GPU")
    assert engine.spec == SPEC


def test_each_batch_size_is_one_recorded_graph(tmp_path: Path) -> None:
    device = FakeCuda()
    engine = make(save(tmp_path), device)
    assert device.recorded == 3
    frames = list(np.arange(3 * 24, dtype=np.uint8).reshape(3, 2, 4, 3))
    masks, _ = engine.step(frames, [engine.blank()] * 3)
    np.testing.assert_array_equal(masks, [frame[..., 0] for frame in frames])


def test_batches_are_no_larger_than_the_plan_was_built_for(tmp_path: Path) -> None:
    assert make(save(tmp_path), profiles=((1, 2),)).max_batch == 2


def test_each_batch_size_takes_the_tightest_profile(tmp_path: Path) -> None:
    make(save(tmp_path), profiles=((1, 1), (1, 4)))
    make(save(tmp_path), profiles=((1, 4), (1, 1)))
    with pytest.raises(BadInput, match=r"no profile for a batch of 1.*export\.to_trt"):
        make(save(tmp_path), profiles=((2, 4),))


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ({"gpu": "NVIDIA H100"}, "built for gpu NVIDIA H100, here is fake GPU"),
        ({"tensorrt": "11.3.1"}, r"built for tensorrt 11\.3\.1, here is 11\.4\.0"),
    ],
)
def test_a_plan_of_another_machine_is_refused_with_how_to_rebuild(
    tmp_path: Path, key: dict[str, str], told: str
) -> None:
    device = FakeCuda()
    with pytest.raises(BadInput, match=rf"does not fit.*{told}.*export\.to_trt MODEL\.onnx"):
        make(save(tmp_path, key=HERE | key), device)
    assert device.allocated == 0


def test_a_plan_that_tensorrt_cannot_read_is_refused_with_how_to_rebuild(tmp_path: Path) -> None:
    plan = save(tmp_path)
    plan.write_bytes(b"of an older version")
    with pytest.raises(BadInput, match=r"cannot read.*export\.to_trt"):
        make(plan)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"height": 3}, "frame"),
        ({"memory": ({"stage": 1, "tokens": 2, "key_width": 1, "value_width": 3},)}, "memory"),
    ],
)
def test_a_plan_unlike_its_description_is_refused(
    tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    spec = ModelSpec.from_dict(SPEC.to_dict() | {"memory_frames": 2} | change)
    with pytest.raises(BadInput, match=named):
        make(save(tmp_path, spec))


@pytest.mark.parametrize("text", ["{", "[]", '{"spec": {}, "key": {}}', "{}"])
def test_a_broken_description_is_refused(tmp_path: Path, text: str) -> None:
    plan = save(tmp_path)
    (tmp_path / "first.plan.json").write_text(text)
    with pytest.raises(BadInput, match="does not describe a plan"):
        make(plan)


@pytest.mark.parametrize("absent", ["first.plan", "first.plan.json"])
def test_a_plan_or_a_description_that_is_not_there_is_not_found(
    tmp_path: Path, absent: str
) -> None:
    plan = save(tmp_path)
    (tmp_path / absent).unlink()
    with pytest.raises(NotFound, match=absent):
        make(plan)


def test_no_room_for_a_context_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakePlan, "create_execution_context", lambda *_: None)
    device = FakeCuda()
    with pytest.raises(EngineFault, match="execution context"):
        make(save(tmp_path), device)
    assert device.allocated == 0


def test_a_model_in_half_precision_has_half_precision_memories(tmp_path: Path) -> None:
    assert make(save(tmp_path, replace(SPEC, precision="fp16"))).spec.precision == "fp16"


def test_it_runs_on_no_cpu_and_on_no_unnamed_plan() -> None:
    with pytest.raises(NotFound, match="take onnx_rt"):
        make_engine(EngineSettings(name="tensor_rt", provider="cpu"))
    with pytest.raises(NotFound, match="MASTREAM_ENGINE__MODEL"):
        make_engine(EngineSettings(name="tensor_rt"))


def test_a_missing_tensorrt_is_told_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    with pytest.raises(NotFound, match=r"mastream\[gpu\]"):
        load_tensorrt()
