"""TensorRT plans without a GPU: the graph by ONNX Runtime, the calls by the real bindings."""

from __future__ import annotations

import ast
import ctypes
import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper, shape_inference
from tensorrt_contract import Contract, altered

from export import to_trt, to_trt_build, to_trt_graph, to_trt_verify, verify
from export.graph import names, trace
from export.progress import Lines
from export.to_trt_build import BuildFailed, BuildOptions, BuildStopped, build
from export.to_trt_graph import GraphError, TrtGraph, adapt, columns, prepare
from export.to_trt_verify import PlanFailed, PlanRunner, verify_plan
from models import checkpoint, source
from models.build import Recipe
from models.build import build as build_network
from models.plan import BatchRange, BuildProgress, Machine, PlanDescription, digest
from models.spec import METADATA_KEY, ModelSpec

SIZE = (64, 96)
HERE = Machine("NVIDIA Test", "9.0", "11.4.0.106")
OPTIONS = BuildOptions(BatchRange(1, 2, 4), workspace=2**30, level=4, version_compatible=True)
INPUTS = {"frame": (64, 96, 3), "count": ()}
ROOT = Path(__file__).resolve().parents[2]
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


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    recipe = Recipe(output_stride=32)
    path = tmp_path_factory.mktemp("trt") / "trained.pt"
    checkpoint.save(path, recipe, build_network(recipe).state_dict(), dataset="camvid")
    return path


@pytest.fixture(scope="module")
def plain(trained: Path) -> tuple[ModelProto, ModelSpec]:
    """The fp16 graph as export/to_onnx.py --attention portable writes it."""
    network, recipe, spec = source.load(trained)
    spec = replace(source.describe(network, spec, SIZE, "fp16"), weights="fp16")
    return trace(network, recipe, spec, "portable"), spec


@pytest.fixture
def graph(plain: tuple[ModelProto, ModelSpec]) -> TrtGraph:
    model, spec = plain
    return TrtGraph(adapt(model), spec, "fp16")


@pytest.fixture
def ready(plain: tuple[ModelProto, ModelSpec], tmp_path: Path) -> Path:
    path = tmp_path / "ready.onnx"
    onnx.save(plain[0], path)
    return path


def types(model: ModelProto) -> dict[str, int]:
    """The element type of every tensor of a graph."""
    graph = shape_inference.infer_shapes(model).graph
    infos = (*graph.value_info, *graph.input, *graph.output)
    held = {info.name: info.type.tensor_type.elem_type for info in infos}
    return held | {i.name: i.data_type for i in graph.initializer}


def pictures(count: int) -> list[NDArray[np.uint8]]:
    return list(np.random.default_rng(0).integers(0, 256, (count, *SIZE, 3), np.uint8))


def run_both(one: verify.Steps, other: verify.Steps, spec: ModelSpec, column: bool = False) -> bool:
    """Whether two graphs answer a clip bit for bit alike."""
    ours, theirs = verify.blank(spec, 1), verify.blank(spec, 1)
    if column:
        ours[0] = ours[0][:, None]
    alike = []
    for picture in pictures(4):
        mask, *ours = one.step([picture[None], *ours])
        wanted, *theirs = other.step([picture[None], *theirs])
        pairs = zip([mask, ours[0].ravel(), *ours[1:]], [wanted, *theirs], strict=True)
        alike += [np.array_equal(a, b) for a, b in pairs]
    return all(alike)


class TestGraph:
    def test_means_and_softmax_are_in_float32_and_the_rest_is_not(self, graph: TrtGraph) -> None:
        kinds = types(graph.model)
        islands = [n for n in graph.model.graph.node if n.op_type in {"Softmax", "ReduceMean"}]
        assert len(islands) >= 8
        assert {kinds[n.input[0]] for n in islands} == {TensorProto.FLOAT}
        wide = [n for n in graph.model.graph.node if n.op_type in {"Conv", "MatMul"}]
        assert {kinds[name] for n in wide for name in n.input} == {TensorProto.FLOAT16}

    def test_it_holds_only_what_the_parser_knows(self, graph: TrtGraph) -> None:
        assert {node.domain for node in graph.model.graph.node} == {""}
        kinds = types(graph.model)
        assert {name for name, kind in kinds.items() if kind == TensorProto.UINT8} == {
            "frame",
            "mask",
        }
        clips = [n for n in graph.model.graph.node if n.op_type == "Clip"]
        assert clips and {kinds[n.input[0]] for n in clips} == {TensorProto.FLOAT}
        onnx.checker.check_model(graph.model, full_check=True)

    def test_the_plain_graph_would_not_do(self, plain: tuple[ModelProto, ModelSpec]) -> None:
        kinds = types(plain[0])
        assert sum(kind == TensorProto.UINT8 for kind in kinds.values()) == 3

    def test_it_answers_as_the_plain_graph(
        self, plain: tuple[ModelProto, ModelSpec], graph: TrtGraph
    ) -> None:
        model, spec = plain
        adapted = verify.Runner(graph.content, spec)
        assert run_both(adapted, verify.Runner(model.SerializeToString(), spec), spec)

    def test_it_agrees_with_the_network(self, trained: Path, graph: TrtGraph) -> None:
        network = verify.TorchRunner(source.load(trained)[0])
        runner = verify.Runner(graph.content, graph.spec)
        tolerance = verify.TOLERANCES["fp16"]
        check = verify.compare_clip(runner, network, graph.spec, pictures(3), "it", tolerance)
        assert check.held, check.detail

    def test_columns_give_count_an_axis_and_change_nothing_else(self, graph: TrtGraph) -> None:
        changed = columns(graph.model)
        onnx.checker.check_model(changed, full_check=True)
        assert TrtGraph(changed, graph.spec, "fp16").inputs()["count"] == (1,)
        assert [i.name for i in changed.graph.input] == names(graph.spec)[0]
        spec = graph.spec
        runner = verify.Runner(changed.SerializeToString(), spec)
        assert run_both(runner, verify.Runner(graph.content, spec), spec, column=True)

    def test_inputs_are_shapes_for_one_stream(self, graph: TrtGraph) -> None:
        inputs = graph.inputs()
        assert list(inputs) == names(graph.spec)[0]
        assert inputs["frame"] == (*SIZE, 3) and inputs["count"] == ()
        first = graph.spec.memory[0]
        assert inputs[first.key_name] == (2, first.tokens, first.key_width)


class TestPrepare:
    @pytest.fixture
    def traced(self, graph: TrtGraph, monkeypatch: pytest.MonkeyPatch) -> list[ModelSpec]:
        """Specs that were traced anew; what comes back is the graph that is there."""
        specs: list[ModelSpec] = []

        def stand_in(network: Any, recipe: Any, spec: ModelSpec, attention: str) -> ModelProto:
            del network, recipe
            assert attention == "portable"
            specs.append(spec)
            return graph.model

        monkeypatch.setattr(to_trt_graph, "trace", stand_in)
        return specs

    def test_a_file_that_will_do_is_taken_as_it_is(
        self, ready: Path, traced: list[ModelSpec]
    ) -> None:
        taken = prepare(ready, "fp16", None)
        assert (taken.precision, taken.spec.width) == ("fp16", 96)
        assert prepare(ready, "fp16", SIZE).content == taken.content
        assert traced == []

    @pytest.mark.parametrize(
        ("precision", "size", "wanted"),
        [("fp32", None, ("fp32", 96)), ("fp16", (96, 128), ("fp16", 128))],
    )
    def test_of_another_precision_or_size_it_is_the_source(
        self,
        ready: Path,
        traced: list[ModelSpec],
        precision: str,
        size: tuple[int, int] | None,
        wanted: tuple[str, int],
    ) -> None:
        made = prepare(ready, precision, size)
        assert [(s.precision, s.width) for s in traced] == [wanted]
        assert traced[0].weights == precision and made.spec == traced[0]

    def test_operators_of_onnx_runtime_and_small_weights_are_traced_anew(
        self, ready: Path, traced: list[ModelSpec], tmp_path: Path
    ) -> None:
        for change in (_fuse, _shrink):
            model = onnx.load(ready)
            change(model)
            onnx.save(model, tmp_path / "other.onnx")
            prepare(tmp_path / "other.onnx", "fp16", None)
        assert len(traced) == 2

    def test_a_checkpoint_is_traced(self, trained: Path, traced: list[ModelSpec]) -> None:
        prepare(trained, "fp16", SIZE)
        assert [(s.height, s.width) for s in traced] == [SIZE]

    @pytest.mark.parametrize(
        ("kind", "precision"), [(TensorProto.INT8, "int8"), (TensorProto.FLOAT8E4M3FN, "fp8")]
    )
    def test_a_quantised_graph_is_taken_as_it_is(
        self, ready: Path, traced: list[ModelSpec], kind: int, precision: str
    ) -> None:
        _quantise(ready, kind)
        assert prepare(ready, "fp16", None).precision == precision
        with pytest.raises(GraphError, match="leave --size out"):
            prepare(ready, "fp16", (32, 32))
        assert traced == []

    def test_types_that_tensorrt_does_not_quantise_to_are_refused(self, ready: Path) -> None:
        _quantise(ready, TensorProto.UINT8)
        with pytest.raises(GraphError, match="int8 or fp8"):
            prepare(ready, "fp16", None)


def _fuse(model: ModelProto) -> None:
    model.graph.node[-1].domain = "com.microsoft"


def _shrink(model: ModelProto) -> None:
    (held,) = (entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    held.value = held.value.replace('"weights":"fp16"', '"weights":"int8"')


def _quantise(path: Path, kind: int) -> None:
    """A Q/DQ pair around what the first convolution reads."""
    model = onnx.load(path)
    (first, *_) = (node for node in model.graph.node if node.op_type == "Conv")
    zero = helper.make_tensor("q.zero", kind, [], [0])
    scale = numpy_helper.from_array(np.float16(0.05), "q.scale")
    model.graph.initializer.extend([zero, scale])
    at = list(model.graph.node).index(first)
    steps = [
        helper.make_node("QuantizeLinear", [first.input[0], "q.scale", "q.zero"], ["q.small"]),
        helper.make_node("DequantizeLinear", ["q.small", "q.scale", "q.zero"], ["q.back"]),
    ]
    first.input[0] = "q.back"
    for node in reversed(steps):
        model.graph.node.insert(at, node)
    onnx.save(model, path)


class TestBuild:
    def test_every_call_is_the_real_api_in_the_right_order(self, contract: Contract) -> None:
        contract.answers["IHostMemory"] = b"plan or cache"
        built = build(contract.module, b"graph", INPUTS, OPTIONS, b"timings")
        assert contract.calls == CALLS
        assert (built.plan, built.timings) == (b"plan or cache", b"plan or cache")

    def test_what_is_asked_for_reaches_tensorrt(self, contract: Contract) -> None:
        trt = contract.bindings
        build(contract.module, b"graph", INPUTS, OPTIONS, b"timings")
        (config,), (profile,) = (
            contract.made["IBuilderConfig"],
            contract.made["IOptimizationProfile"],
        )
        assert config.builder_optimization_level == 4
        assert isinstance(config.progress_monitor, trt.IProgressMonitor)
        config.set_memory_pool_limit.assert_called_once_with(trt.MemoryPoolType.WORKSPACE, 2**30)
        config.set_flag.assert_called_once_with(trt.BuilderFlag.VERSION_COMPATIBLE)
        config.clear_flag.assert_called_once_with(trt.BuilderFlag.TF32)
        config.create_timing_cache.assert_called_once_with(b"timings")
        shapes = {call.args[0]: call.args[1:] for call in profile.set_shape.call_args_list}
        assert shapes["frame"] == ((1, 64, 96, 3), (2, 64, 96, 3), (4, 64, 96, 3))
        assert shapes["count"] == ((1,), (2,), (4,))

    def test_by_default_little_is_asked_for(self, contract: Contract) -> None:
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
    def test_a_name_or_call_of_tensorrt_10_fails(
        self, contract: Contract, old: str, new: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, to_trt_build.__name__, to_trt_build)
        older = altered(to_trt_build, old, new)
        options = older.BuildOptions(OPTIONS.batch, 2**30)
        with pytest.raises((AttributeError, TypeError)):
            older.build(contract.module, b"graph", INPUTS, options)

    @pytest.mark.parametrize("module", [to_trt, to_trt_build, to_trt_verify])
    def test_every_name_in_the_text_is_there(
        self, tensorrt_bindings: ModuleType, module: ModuleType
    ) -> None:
        """Also where no test comes by: ``trt.A.B`` is A of the bindings and B of A."""
        assert module.__file__
        for chain in trt_names(Path(module.__file__).read_text()):
            found: Any = tensorrt_bindings
            for name in chain:
                assert hasattr(found, name), f"there is no tensorrt.{'.'.join(chain)}"
                found = getattr(found, name)

    def test_a_graph_that_the_parser_refuses_is_told_by_node(self, contract: Contract) -> None:
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

    def test_a_build_that_fails_ends_in_what_tensorrt_logged(self, contract: Contract) -> None:
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
        with pytest.raises(BuildFailed, match=r"could not build the plan: out of workspace$"):
            build(contract.module, b"graph", INPUTS, OPTIONS)

    def test_timings_of_another_gpu_are_left_out(self, contract: Contract) -> None:
        answers = iter([False, True])
        contract.answers["IBuilderConfig.set_timing_cache"] = lambda *_: next(answers)
        build(contract.module, b"graph", INPUTS, OPTIONS, b"of another")
        (config,) = contract.made["IBuilderConfig"]
        given = [call.args[0] for call in config.create_timing_cache.call_args_list]
        assert given == [b"of another", b""]

    def test_progress_comes_from_the_monitor(self, contract: Contract) -> None:
        contract.answers["Builder.build_serialized_network"] = building([])
        stream = io.StringIO()
        build(contract.module, b"graph", INPUTS, OPTIONS, show=Lines(stream).show)
        read = [BuildProgress.parse(line) for line in stream.getvalue().splitlines()]
        assert [told.percent for told in read if told] == [0, 50, 75, 99, 100]
        assert read[-1] == BuildProgress(100, "done")

    def test_a_stopped_build_writes_nothing_and_says_so(self, contract: Contract) -> None:
        stop, went_on = Event(), []

        def show(progress: BuildProgress) -> None:
            if progress.percent == 50:
                stop.set()

        contract.answers["Builder.build_serialized_network"] = building(went_on)
        with pytest.raises(BuildStopped):
            build(contract.module, b"graph", INPUTS, OPTIONS, show=show, stop=stop)
        assert went_on == [False]


def building(went_on: list[bool]) -> Callable[[Any, Any], bytes | None]:
    """Two steps, the second in two halves, told as TensorRT tells them, until it is stopped."""

    def run(network: Any, config: Any) -> bytes | None:
        del network
        monitor = config.progress_monitor
        monitor.phase_start("build", None, 2)
        for name, step in (("build", 0), ("tactics", 0), ("build", 1)):
            if name == "tactics":
                monitor.phase_start("tactics", "build", 2)
            went_on.append(monitor.step_complete(name, step))
            if not went_on[-1]:
                return None
            if name == "tactics":
                monitor.phase_finish("tactics")
        monitor.phase_finish("build")
        return b"a plan"

    return run


def trt_names(text: str) -> set[tuple[str, ...]]:
    """Every chain of attributes that begins with ``trt``, also under ``self._trt``."""
    attributes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute))
    chains = (tuple(ast.unparse(node).removeprefix("self._").split(".")) for node in attributes)
    return {chain[1:] for chain in chains if chain[0] == "trt" and chain[1:]}


class Device:
    """What a GPU would do, at addresses of the host: a graph run by ONNX Runtime."""

    def __init__(self, contract: Contract, graph: TrtGraph, wrong: bool = False) -> None:
        trt = contract.bindings
        self.runner, self.wrong = verify.Runner(graph.content, graph.spec), wrong
        self.inputs, self.outputs = names(graph.spec)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.pointers: dict[str, int] = {}
        half = {"mask": trt.DataType.UINT8, "count_out": trt.DataType.INT64}
        contract.answers |= {
            "ICudaEngine.get_tensor_dtype": lambda name: half.get(name, trt.DataType.HALF),
            "IExecutionContext.set_input_shape": self.set_shape,
            "IExecutionContext.get_tensor_shape": lambda name: self.shapes[name],
            "IExecutionContext.set_tensor_address": self.set_address,
            "IExecutionContext.execute_async_v3": self.execute,
        }
        self.kinds = {"frame": np.uint8, "count": np.int64, "mask": np.uint8, "count_out": np.int64}

    def set_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        if name == "frame":
            self.shapes["mask"] = shape[:-1]
        else:
            self.shapes[f"{name}_out"] = shape
        return True

    def set_address(self, name: str, pointer: int) -> bool:
        self.pointers[name] = pointer
        return True

    def execute(self, stream: int) -> bool:
        del stream
        results = self.runner.step([self.array(name).copy() for name in self.inputs])
        for name, result in zip(self.outputs, results, strict=True):
            self.array(name)[...] = 0 if self.wrong and name == "memory_key_1_out" else result
        return True

    def array(self, name: str) -> NDArray[Any]:
        kind = np.dtype(self.kinds.get(name, np.float16))
        nbytes = int(np.prod(self.shapes[name])) * kind.itemsize
        raw = (ctypes.c_uint8 * nbytes).from_address(self.pointers[name])
        return np.ctypeslib.as_array(raw).view(kind).reshape(self.shapes[name])


class TestVerify:
    def test_a_plan_that_computes_the_graph_holds(
        self, contract: Contract, graph: TrtGraph
    ) -> None:
        Device(contract, graph)
        check = verify_plan(
            PlanRunner(contract.module, b"plan", graph.spec, "cpu"), graph, pictures(3)
        )
        assert check.held and "3 frames: 100.0000%" in check.detail
        once = [call for call in contract.calls if not call.startswith("IExecutionContext")]
        assert once[:3] == [
            "Runtime",
            "Runtime.deserialize_cuda_engine",
            "ICudaEngine.create_execution_context",
        ]
        (runtime,) = contract.made["Runtime"]
        assert runtime.engine_host_code_allowed is True

    def test_a_wrong_plan_does_not(self, contract: Contract, graph: TrtGraph) -> None:
        Device(contract, graph, wrong=True)
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
        self, contract: Contract, graph: TrtGraph, old: str, new: str
    ) -> None:
        Device(contract, graph)
        older = altered(to_trt_verify, old, new)
        runner = older.PlanRunner(contract.module, b"plan", graph.spec, "cpu")
        with pytest.raises(AttributeError):
            runner.step([pictures(1)[0][None], *verify.blank(graph.spec, 1)])

    @pytest.mark.parametrize(
        ("path", "told"),
        [
            ("Runtime.deserialize_cuda_engine", "cannot read the plan"),
            ("IExecutionContext.set_input_shape", "refused frame"),
            ("IExecutionContext.execute_async_v3", "refused execute_async_v3"),
        ],
    )
    def test_what_tensorrt_refuses_is_said(
        self, contract: Contract, graph: TrtGraph, path: str, told: str
    ) -> None:
        Device(contract, graph)
        contract.answers[path] = (lambda *_: None) if "Runtime" in path else False
        with pytest.raises(PlanFailed, match=told):
            PlanRunner(contract.module, b"plan", graph.spec, "cpu").step(
                [pictures(1)[0][None], *verify.blank(graph.spec, 1)]
            )


class TestCommand:
    @pytest.fixture
    def installed(self, contract: Contract, monkeypatch: pytest.MonkeyPatch) -> Iterator[Contract]:
        """A machine with TensorRT and a GPU."""
        contract.module.__dict__["__version__"] = HERE.tensorrt
        monkeypatch.setitem(sys.modules, "tensorrt", contract.module)
        monkeypatch.setattr(to_trt, "this_machine", lambda _: HERE)
        yield contract

    def test_a_plan_is_written_with_its_description(
        self,
        installed: Contract,
        ready: Path,
        graph: TrtGraph,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        installed.answers["IHostMemory"] = b"the plan"
        out = tmp_path / "plans"
        asked = [str(ready), "-o", str(out), "--batch", "1:4:8", "--workspace", "512"]
        assert to_trt.main([*asked, "--optimisation-level", "5", "--version-compatible"]) == 0
        said = capsys.readouterr()
        plan = Path(said.out.strip())
        assert plan.parent == out and plan.read_bytes() == b"the plan"
        assert said.err.splitlines()[-1] == "progress 100 done"
        described = PlanDescription.from_json((out / f"{plan.name}.json").read_text())
        key = described.key
        assert described.spec == graph.spec and plan.name == key.file_name(graph.spec.name)
        assert (key.machine, key.batch, key.precision) == (HERE, BatchRange(1, 4, 8), "fp16")
        assert key.source == digest(ready.read_bytes()) and key.graph == digest(graph.content)
        assert key.version_compatible and not key.columns
        assert {p.name for p in out.iterdir()} == {plan.name, f"{plan.name}.json", "timings.cache"}
        (config,) = installed.made["IBuilderConfig"]
        assert config.builder_optimization_level == 5
        assert config.set_memory_pool_limit.call_args.args[1] == 512 * 2**20

    def test_timings_are_read_and_written_again(
        self, installed: Contract, ready: Path, tmp_path: Path
    ) -> None:
        cache = tmp_path / "kept.cache"
        cache.write_bytes(b"earlier")
        installed.answers["IHostMemory"] = b"later"
        asked = [str(ready), "-o", str(tmp_path / "my.plan"), "--timing-cache", str(cache)]
        assert to_trt.main(asked) == 0
        (config,) = installed.made["IBuilderConfig"]
        config.create_timing_cache.assert_called_once_with(b"earlier")
        assert cache.read_bytes() == b"later"
        assert json.loads((tmp_path / "my.plan.json").read_text())["key"]["gpu"] == HERE.gpu

    def test_for_triton_count_has_an_axis(
        self, installed: Contract, ready: Path, tmp_path: Path
    ) -> None:
        assert to_trt.main([str(ready), "-o", str(tmp_path / "t.plan"), "--triton"]) == 0
        (profile,) = installed.made["IOptimizationProfile"]
        shapes = {call.args[0]: call.args[3] for call in profile.set_shape.call_args_list}
        assert shapes["count"] == (4, 1)
        assert json.loads((tmp_path / "t.plan.json").read_text())["key"]["columns"] is True

    def test_it_is_verified_where_asked(
        self,
        installed: Contract,
        ready: Path,
        graph: TrtGraph,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        async def frames(*_: object) -> list[NDArray[np.uint8]]:
            return pictures(2)

        def on_cpu(trt: Any, plan: bytes, spec: ModelSpec) -> PlanRunner:
            return PlanRunner(trt, plan, spec, "cpu")

        monkeypatch.setattr(to_trt, "read_frames", frames)
        monkeypatch.setattr(to_trt, "PlanRunner", on_cpu)
        asked = [str(ready), "-o", str(tmp_path / "v.plan"), "--verify", "clip.mp4"]
        for wrong in (False, True):
            Device(installed, graph, wrong)
            assert to_trt.main(asked) == int(wrong)
            assert ("FAIL" if wrong else "ok  ") in capsys.readouterr().out

    @pytest.mark.parametrize("failure", ["parse", "build"])
    def test_a_failed_build_leaves_nothing(
        self,
        installed: Contract,
        ready: Path,
        tmp_path: Path,
        failure: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        path = {"parse": "OnnxParser.parse", "build": "Builder.build_serialized_network"}[failure]
        installed.answers |= {path: lambda *_: None, "OnnxParser.num_errors": 0}
        out = tmp_path / "plans"
        assert to_trt.main([str(ready), "-o", str(out)]) == 1
        assert capsys.readouterr().err.splitlines()[-1].startswith("to_trt: TensorRT")
        assert not out.exists()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_stops_it_and_leaves_nothing(
        self,
        installed: Contract,
        ready: Path,
        tmp_path: Path,
        number: signal.Signals,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def interrupted(network: Any, config: Any) -> bytes | None:
            signal.raise_signal(number)
            return building([])(network, config)

        before = signal.getsignal(number)
        installed.answers["Builder.build_serialized_network"] = interrupted
        out = tmp_path / "plans"
        assert to_trt.main([str(ready), "-o", str(out)]) == 130
        assert "nothing was written" in capsys.readouterr().err
        assert not out.exists() and signal.getsignal(number) is before

    @pytest.mark.parametrize(
        ("version", "told"),
        [(None, "pip install 'mastream[gpu,export]'"), ("10.16.0", "pip install 'tensorrt>=11'")],
    )
    def test_without_tensorrt_11_it_says_what_to_install(
        self,
        version: str | None,
        told: str,
        ready: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        module = None
        if version:
            module = ModuleType("tensorrt")
            module.__dict__["__version__"] = version
        monkeypatch.setitem(sys.modules, "tensorrt", module)
        assert to_trt.main([str(ready), "-o", str(tmp_path / "p")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("to_trt: TensorRT") and told in line

    def test_without_a_gpu_it_says_so(
        self,
        installed: Contract,
        ready: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        del installed
        monkeypatch.undo()
        monkeypatch.setattr(to_trt, "load_tensorrt", lambda: None)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        assert to_trt.main([str(ready), "-o", str(tmp_path / "p")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "no NVIDIA GPU" in line

    def test_wrong_requests_end_in_one_sentence(
        self, installed: Contract, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        del installed
        assert to_trt.main([str(tmp_path / "absent.onnx"), "-o", str(tmp_path / "p")]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("to_trt: ") and "absent.onnx" in line
        for wrong in (["--batch", "4:2:1"], ["--optimisation-level", "6"], ["--precision", "int8"]):
            with pytest.raises(SystemExit, match="2"):
                to_trt.main(["m.onnx", "-o", "p", *wrong])

    def test_it_runs_from_the_root_of_a_checkout(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "export/to_trt.py", "m.onnx", "-o", str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2 and done.stderr.startswith("to_trt: ")
