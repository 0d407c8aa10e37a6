"""Every call that builds a plan is checked against the real bindings, without a GPU."""

from __future__ import annotations

import ast
import io
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Any

import pytest
from fake_builds import building
from tensorrt_contract import Contract, altered

from export import to_trt, to_trt_build, to_trt_verify
from export.progress import Lines
from export.to_trt_build import BuildFailed, BuildOptions, BuildStopped, build
from models.plan import BatchRange, BuildProgress

OPTIONS = BuildOptions(BatchRange(1, 2, 4), workspace=2**30, level=4, version_compatible=True)
INPUTS = {"frame": (64, 96, 3), "count": ()}
EXPLICIT_BATCH = "trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH"
CALLS = [
    "Builder",
    "Builder.create_network",
    "OnnxParser",
    "OnnxParser.parse",
    "Builder.create_builder_config",
    "IBuilderConfig.set_memory_pool_limit",
    "IBuilderConfig.set_flag",
    "IBuilderConfig.clear_flag",
    "Builder.create_optimization_profile",
    "IOptimizationProfile.set_shape",
    "IOptimizationProfile.set_shape",
    "IBuilderConfig.add_optimization_profile",
    "IBuilderConfig.create_timing_cache",
    "IBuilderConfig.set_timing_cache",
    "Builder.build_serialized_network",
    "ITimingCache.serialize",
]


def test_every_call_is_the_real_api_in_the_right_order(contract: Contract) -> None:
    contract.answers["IHostMemory"] = b"plan or cache"
    built = build(contract.module, b"graph", INPUTS, OPTIONS, b"timings")
    assert contract.calls == CALLS
    assert (built.plan, built.timings) == (b"plan or cache", b"plan or cache")


def test_what_is_asked_for_reaches_tensorrt(contract: Contract) -> None:
    trt = contract.bindings
    build(contract.module, b"graph", INPUTS, OPTIONS, b"timings")
    (config,) = contract.made["IBuilderConfig"]
    (profile,) = contract.made["IOptimizationProfile"]
    assert config.builder_optimization_level == 4
    assert isinstance(config.progress_monitor, trt.IProgressMonitor)
    config.set_memory_pool_limit.assert_called_once_with(trt.MemoryPoolType.WORKSPACE, 2**30)
    config.set_flag.assert_called_once_with(trt.BuilderFlag.VERSION_COMPATIBLE)
    config.clear_flag.assert_called_once_with(trt.BuilderFlag.TF32)
    config.create_timing_cache.assert_called_once_with(b"timings")
    shapes = {call.args[0]: call.args[1:] for call in profile.set_shape.call_args_list}
    assert shapes["frame"] == ((1, 64, 96, 3), (2, 64, 96, 3), (4, 64, 96, 3))
    assert shapes["count"] == ((1,), (2,), (4,))


def test_by_default_little_is_asked_for(contract: Contract) -> None:
    build(contract.module, b"graph", INPUTS, BuildOptions(BatchRange(1, 1, 1), tf32=True))
    (config,) = contract.made["IBuilderConfig"]
    assert not config.set_flag.called and not config.clear_flag.called
    assert not config.set_memory_pool_limit.called


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("create_network()", f"create_network(int({EXPLICIT_BATCH}))"),
        ("BuilderFlag.TF32", "BuilderFlag.FP16"),
        ("config.builder_optimization_level", "config.max_workspace_size"),
        ("builder.build_serialized_network(", "builder.build_engine("),
        ("builder.create_network()", "builder.create_network(0, 0)"),
        ("config.set_timing_cache(cache, False)", "config.set_timing_cache(cache)"),
        ("parser.parse(graph)", "parser.parse(str(graph))"),
        ("trt.OnnxParser(network, log)", "trt.OnnxParser(builder, log)"),
    ],
)
def test_a_name_or_call_of_tensorrt_10_fails(contract: Contract, old: str, new: str) -> None:
    older = altered(to_trt_build, old, new)
    options = older.BuildOptions(OPTIONS.batch, 2**30)
    with pytest.raises((AttributeError, TypeError)):
        older.build(contract.module, b"graph", INPUTS, options)


@pytest.mark.parametrize("module", [to_trt, to_trt_build, to_trt_verify])
def test_every_name_in_the_text_is_there(tensorrt_bindings: ModuleType, module: ModuleType) -> None:
    """Also where no test comes by: ``trt.A.B`` is A of the bindings and B of A."""
    assert module.__file__
    for chain in trt_names(Path(module.__file__).read_text()):
        found: Any = tensorrt_bindings
        for name in chain:
            assert hasattr(found, name), f"there is no tensorrt.{'.'.join(chain)}"
            found = getattr(found, name)


def test_a_graph_that_the_parser_refuses_is_reported_by_node(contract: Contract) -> None:
    contract.answers |= {
        "OnnxParser.parse": False,
        "OnnxParser.num_errors": 1,
        "OnnxParser.get_error": lambda _: contract.stand_in(contract.bindings.ParserError),
        "ParserError.node_operator": "Clip",
        "ParserError.node_name": "node_clip",
        "ParserError.desc": "INT64 is not supported",
    }
    with pytest.raises(BuildFailed, match="Clip node_clip: INT64 is not supported"):
        build(contract.module, b"graph", INPUTS, OPTIONS)


def test_a_build_that_fails_ends_in_what_tensorrt_logged(contract: Contract) -> None:
    severity = contract.bindings.ILogger.Severity

    def fail(network: Any, config: Any) -> None:
        del network, config
        (log,) = logs
        log.log(severity.WARNING, "only a warning")
        log.log(severity.ERROR, "out of\n workspace")

    logs: list[Any] = []
    contract.answers["Builder.build_serialized_network"] = fail
    real = contract.module.Builder
    contract.module.__dict__["Builder"] = lambda log: (logs.append(log), real(log))[1]
    with pytest.raises(BuildFailed, match=r"could not build the plan: out of workspace\.$"):
        build(contract.module, b"graph", INPUTS, OPTIONS)


def test_timings_of_another_gpu_are_left_out(contract: Contract) -> None:
    answers = iter([False, True])
    contract.answers["IBuilderConfig.set_timing_cache"] = lambda *_: next(answers)
    build(contract.module, b"graph", INPUTS, OPTIONS, b"of another")
    (config,) = contract.made["IBuilderConfig"]
    given = [call.args[0] for call in config.create_timing_cache.call_args_list]
    assert given == [b"of another", b""]


def test_progress_comes_from_the_monitor(contract: Contract) -> None:
    contract.answers["Builder.build_serialized_network"] = building([])
    stream = io.StringIO()
    build(contract.module, b"graph", INPUTS, OPTIONS, show=Lines(stream).show)
    read = [BuildProgress.parse(line) for line in stream.getvalue().splitlines()]
    assert [told.percent for told in read if told] == [0, 50, 75, 99, 100]
    assert read[-1] == BuildProgress(100, "done")


def test_a_stopped_build_writes_nothing_and_says_so(contract: Contract) -> None:
    stop, went_on = Event(), []

    def show(progress: BuildProgress) -> None:
        if progress.percent == 50:
            stop.set()

    contract.answers["Builder.build_serialized_network"] = building(went_on)
    with pytest.raises(BuildStopped):
        build(contract.module, b"graph", INPUTS, OPTIONS, show=show, stop=stop)
    assert went_on == [False]


def trt_names(text: str) -> set[tuple[str, ...]]:
    """Every chain of attributes that begins with ``trt``, also under ``self._trt``."""
    attributes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute))
    chains = (tuple(ast.unparse(node).removeprefix("self._").split(".")) for node in attributes)
    return {chain[1:] for chain in chains if chain[0] == "trt" and chain[1:]}
