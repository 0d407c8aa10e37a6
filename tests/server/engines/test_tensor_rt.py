"""The engine over TensorRT's plans, on a fake TensorRT: what it refuses and what it asks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import finalize

import numpy as np
import onnx
import pytest
from fake_cuda import FakeCuda
from fake_tensorrt import FakePlan, FakeTensorRt
from onnx import parser
from tensorrt_contract import Contract

from models.plan import BatchRange, Machine, PlanDescription, PlanKey, description_path
from models.spec import ClassLabel, ModelSpec
from server.engines import make_engine, tensor_rt
from server.engines.tensor_rt import TensorRtEngine, load_tensorrt, this_machine
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
HERE = Machine(FakeCuda.name, FakeCuda.capability, FakeTensorRt.__version__)
KEY = PlanKey(HERE, "source", "graph", "fp32", BatchRange(1, 4, 4))


def save(folder: Path, spec: ModelSpec = SPEC, key: PlanKey = KEY) -> Path:
    """A plan and its description."""
    path = folder / "first.plan"
    onnx.save(parser.parse_model(GRAPH), path)
    description_path(path).write_text(PlanDescription(spec, key).to_json())
    return path


def make(plan: Path, device: FakeCuda | None = None, **options: Any) -> TensorRtEngine:
    device = device or FakeCuda()
    trt = FakeTensorRt(device, **options)
    return TensorRtEngine(plan, device, max_batch=4, tensorrt=trt)


def test_it_says_what_runs_and_where(tmp_path: Path) -> None:
    engine = make(save(tmp_path))
    assert (engine.provider, engine.device) == ("TensorRT 11.4.0", "cuda:0 fake GPU")
    assert engine.spec == SPEC


def test_a_plan_built_here_fits_the_engine_that_runs_it_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = FakeCuda()
    described = {0: (device.name, device.capability)}
    monkeypatch.setattr(tensor_rt, "describe_device", described.__getitem__)
    assert this_machine(0, FakeTensorRt(device)) == HERE


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
    "other", [{"gpu": "NVIDIA H100"}, {"tensorrt": "11.3.1"}, {"capability": "9.0"}]
)
def test_a_plan_of_another_machine_is_refused_with_how_to_rebuild(
    tmp_path: Path, other: dict[str, str]
) -> None:
    device = FakeCuda()
    key = replace(KEY, machine=replace(HERE, **other))
    (named,) = other.values()
    with pytest.raises(BadInput, match=rf"does not fit.*{named}.*export\.to_trt"):
        make(save(tmp_path, key=key), device)
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
    with pytest.raises(BadInput, match=r"does not describe a plan|incomplete"):
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


def test_contexts_live_until_the_device_has_done_their_work(tmp_path: Path) -> None:
    done: list[str] = []

    class Slow(FakeCuda):
        def synchronise(self) -> None:
            super().synchronise()
            done.append("waited")

    device, living = Slow(), []
    made = FakePlan.create_execution_context

    def remembered(plan: FakePlan, strategy: Any) -> Any:
        context = made(plan, strategy)
        living.append(finalize(context, done.append, "freed"))
        return context

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakePlan, "create_execution_context", remembered)
        engine = make(save(tmp_path), device)
    assert [context.alive for context in living] == [True] * 3
    done.clear()
    engine.close()
    assert done[:4] == ["waited", "freed", "freed", "freed"]


def test_a_model_in_half_precision_has_half_precision_memories(tmp_path: Path) -> None:
    assert make(save(tmp_path, replace(SPEC, precision="fp16"))).spec.precision == "fp16"


def test_it_runs_on_no_cpu_and_on_no_unnamed_plan() -> None:
    with pytest.raises(NotFound, match="use onnx_rt"):
        make_engine(EngineSettings(name="tensor_rt", provider="cpu"))
    with pytest.raises(NotFound, match="MASTREAM_ENGINE__MODEL"):
        make_engine(EngineSettings(name="tensor_rt"))


def test_a_missing_tensorrt_is_reported_with_what_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    with pytest.raises(NotFound, match=r"mastream\[gpu\]"):
        load_tensorrt()


def test_every_call_is_one_that_the_real_tensorrt_has(tmp_path: Path, contract: Contract) -> None:
    """The engine over stand-ins of the real classes: none of its names is made up."""
    trt = contract.module
    inputs = {"frame": (-1, 2, 4, 3), "count": (-1,)}
    shapes = inputs | {"mask": (-1, 2, 4), "count_out": (-1,)}
    contract.answers |= {
        "ICudaEngine.num_io_tensors": len(shapes),
        "ICudaEngine.get_tensor_name": lambda index: list(shapes)[index],
        "ICudaEngine.get_tensor_shape": shapes.__getitem__,
        "ICudaEngine.get_tensor_dtype": lambda name: (
            trt.DataType.INT64 if "count" in name else trt.DataType.UINT8
        ),
        "ICudaEngine.get_tensor_mode": lambda name: (
            trt.TensorIOMode.INPUT if name in inputs else trt.TensorIOMode.OUTPUT
        ),
        "ICudaEngine.num_optimization_profiles": 1,
        "ICudaEngine.get_tensor_profile_shape": lambda *_: [(n, 2, 4, 3) for n in (1, 2, 2)],
        "ICudaEngine.device_memory_size_v2": 64,
    }
    here = replace(HERE, tensorrt=trt.__version__)
    plan = save(tmp_path, key=replace(KEY, machine=here, version_compatible=True))
    engine = TensorRtEngine(plan, FakeCuda(), max_batch=2, tensorrt=trt)
    engine.step([np.zeros((2, 4, 3), np.uint8)], [engine.blank()])
    assert contract.made["Runtime"][0].engine_host_code_allowed is True
    assert contract.calls.count("IExecutionContext.execute_async_v3") == 2 * 2
