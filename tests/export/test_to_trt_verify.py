"""A plan is run by the real calls, and compared with ONNX Runtime."""

from __future__ import annotations

import pytest
from fake_builds import HostDevice, pictures
from tensorrt_contract import Contract, altered

from export import runners, to_trt_verify
from export.to_trt_graph import TrtGraph
from export.to_trt_verify import PlanFailed, PlanRunner, verify_plan


def test_a_plan_that_computes_the_graph_holds(contract: Contract, graph: TrtGraph) -> None:
    HostDevice(contract, graph)
    check = verify_plan(PlanRunner(contract.module, b"plan", graph.spec, "cpu"), graph, pictures(3))
    assert check.held and "3 frames: 100.0000%" in check.detail
    once = [call for call in contract.calls if not call.startswith("IExecutionContext")]
    assert once[:3] == [
        "Runtime",
        "Runtime.deserialize_cuda_engine",
        "ICudaEngine.create_execution_context",
    ]
    (runtime,) = contract.made["Runtime"]
    assert runtime.engine_host_code_allowed is True


def test_a_wrong_plan_does_not(contract: Contract, graph: TrtGraph) -> None:
    HostDevice(contract, graph, wrong=True)
    runner = PlanRunner(contract.module, b"plan", graph.spec, "cpu")
    assert not verify_plan(runner, graph, pictures(2)).held


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("execute_async_v3(0)", "execute_async_v2(0, 0)"),
        ("set_tensor_address(", "set_binding_address("),
        ("set_input_shape(", "set_binding_shape("),
        ("get_tensor_dtype(", "get_binding_dtype("),
    ],
)
def test_a_name_of_tensorrt_10_fails(
    contract: Contract, graph: TrtGraph, old: str, new: str
) -> None:
    HostDevice(contract, graph)
    older = altered(to_trt_verify, old, new)
    runner = older.PlanRunner(contract.module, b"plan", graph.spec, "cpu")
    with pytest.raises(AttributeError):
        runner.step([pictures(1)[0][None], *runners.blank(graph.spec, 1)])


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("Runtime.deserialize_cuda_engine", "cannot read the plan"),
        ("IExecutionContext.set_input_shape", "refused frame"),
        ("IExecutionContext.execute_async_v3", "refused execute_async_v3"),
    ],
)
def test_what_tensorrt_refuses_is_said(
    contract: Contract, graph: TrtGraph, path: str, told: str
) -> None:
    HostDevice(contract, graph)
    contract.answers[path] = (lambda *_: None) if "Runtime" in path else False
    with pytest.raises(PlanFailed, match=told):
        PlanRunner(contract.module, b"plan", graph.spec, "cpu").step(
            [pictures(1)[0][None], *runners.blank(graph.spec, 1)]
        )
