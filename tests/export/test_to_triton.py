"""A Triton repository, read by Triton's own protobuf and run as Triton would run it."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf import text_format
from numpy.typing import NDArray
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from export import runners, to_triton
from export.graph import trace
from export.to_triton_config import TritonError, states
from models import artefact, source
from models.plan import BatchRange, Machine, PlanDescription, PlanKey, description_path
from models.spec import METADATA_KEY, ModelSpec, StageMemory

pytestmark = pytest.mark.usefixtures("small_networks")

SIZE = (32, 64)
ROOT = Path(__file__).resolve().parents[2]
KINDS = {"TYPE_INT64": np.int64, "TYPE_FP16": np.float16, "TYPE_FP32": np.float32}


@pytest.fixture(scope="module")
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's folder in a repository."""
    out = tmp_path_factory.mktemp("triton") / "repository"
    asked = [str(trained), "-o", str(out), "--size", "64x32", "--max-batch", "3"]
    assert to_triton.main([*asked, "--name", "cam", "--sequences", "16"]) == 0
    return out / "cam"


@pytest.fixture(scope="module")
def spec(folder: Path) -> ModelSpec:
    return artefact.read_spec(artefact.read(folder / "1" / "model.onnx"))


def read_config(folder: Path) -> ModelConfig:
    return text_format.Parse((folder / "config.pbtxt").read_text(), ModelConfig())


class Triton:
    """What Triton does with one sequence of an implicit state, after its core's sources
    (sequence_state.cc, sequence_batch_scheduler.cc): states begin as zeros of as many bytes as the
    product of ``dims`` says, 0 for none; outputs become inputs by their places in sorted lists."""

    def __init__(self, folder: Path) -> None:
        self.config = read_config(folder)
        self.session = onnxruntime.InferenceSession(
            folder / "1" / "model.onnx", providers=["CPUExecutionProvider"]
        )
        batching = self.config.sequence_batching
        self.held = {s.input_name: self.zeros(s) for s in batching.state}
        self.inputs = sorted(s.input_name for s in batching.state)
        self.outputs = sorted(s.output_name for s in batching.state)

    def zeros(self, state: Any) -> NDArray[Any]:
        (initial,) = state.initial_state
        assert initial.name and initial.data_type == state.data_type
        assert list(initial.dims) == list(state.dims) and initial.HasField("zero_data")
        kind = np.dtype(KINDS[DataType.Name(state.data_type)])
        elements = prod(state.dims) if state.dims else 0
        content = bytes(elements * kind.itemsize)
        return np.frombuffer(content, kind).reshape(1, *state.dims)

    def infer(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        given = {"frame": frame, **self.held}
        assert given.keys() == {i.name for i in self.session.get_inputs()}
        mask, *kept = self.session.run(["mask", *self.outputs], given)
        self.held = dict(zip(self.inputs, kept, strict=True))
        return np.asarray(mask, np.uint8)


def test_triton_reads_its_configuration(folder: Path, spec: ModelSpec) -> None:
    config = read_config(folder)
    assert (config.name, config.platform, config.max_batch_size) == ("cam", "onnxruntime_onnx", 3)
    (frame,), (mask,) = config.input, config.output
    assert (frame.name, list(frame.dims)) == ("frame", [*SIZE, 3])
    assert (mask.name, list(mask.dims)) == ("mask", [*SIZE])
    assert frame.data_type == mask.data_type == DataType.TYPE_UINT8
    batching = config.sequence_batching
    assert batching.WhichOneof("strategy_choice") == "oldest"
    assert batching.oldest.max_candidate_sequences == 16
    assert batching.max_sequence_idle_microseconds == 60_000_000
    assert not any(state.use_same_buffer_for_input_output for state in batching.state)
    held = config.parameters[METADATA_KEY].string_value
    assert ModelSpec.from_json(held) == spec


def test_every_tensor_of_the_graph_is_named_with_its_shape(folder: Path) -> None:
    config, model = read_config(folder), artefact.read(folder / "1" / "model.onnx")
    named = {i.name: list(i.dims) for i in (*config.input, *config.output)}
    for state in config.sequence_batching.state:
        named |= {state.input_name: list(state.dims), state.output_name: list(state.dims)}
    infos = (*model.graph.input, *model.graph.output)
    found = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim[1:]] for i in infos}
    assert named == found
    onnx.checker.check_model(model, full_check=True)


def test_as_triton_runs_it_a_sequence_has_its_memory(
    folder: Path, trained: Path, spec: ModelSpec
) -> None:
    network, recipe, _ = source.load(trained)
    served = runners.Runner(trace(network, recipe, spec, "fused").SerializeToString(), spec)
    triton, memory = Triton(folder), runners.blank(spec, 1)
    frames = np.random.default_rng(0).integers(0, 256, (4, 1, *SIZE, 3), np.uint8)
    for frame in frames:
        mask, *memory = served.step([frame, *memory])
        np.testing.assert_array_equal(triton.infer(frame), mask)
    for name, wanted in zip(triton.inputs[1:], memory[1:], strict=True):
        np.testing.assert_array_equal(triton.held[name], wanted)
    assert triton.held["count"].tolist() == [[2]]


def test_states_whose_names_do_not_sort_alike_are_refused(spec: ModelSpec) -> None:
    assert next(state.input_name for state in states(spec)) == "count"
    mixed = (StageMemory(1, 8, 32, 64), StageMemory(10, 8, 32, 64))
    with pytest.raises(TritonError, match="do not pair"):
        states(replace(spec, memory=mixed))


def test_the_page_says_how_to_call_it(folder: Path, spec: ModelSpec) -> None:
    page = (folder / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    compile(example, "README.md", "exec")
    assert '"cam"' in example and "sequence_start" in example and spec.licence in page
    assert (folder / "labels.txt").read_text().splitlines() == [c.name for c in spec.classes]
    assert "model.plan" not in page


def plan(folder: Path, spec: ModelSpec, columns: bool, batch: str = "1:2:8") -> Path:
    path = folder / "a.plan"
    path.write_bytes(b"the plan")
    machine = Machine("NVIDIA L4", "8.9", "11.4.0.106")
    key = PlanKey(machine, "source", "graph", "fp32", BatchRange.parse(batch), columns)
    description_path(path).write_text(PlanDescription(spec, key).to_json())
    return path


def test_a_plan_is_taken_as_it_is(tmp_path: Path, spec: ModelSpec) -> None:
    path, out = plan(tmp_path, spec, True), tmp_path / "repository"
    assert to_triton.main([str(path), "-o", str(out)]) == 0
    folder = out / spec.name
    config = read_config(folder)
    assert (config.platform, config.max_batch_size) == ("tensorrt_plan", 8)
    assert (folder / "1" / "model.plan").read_bytes() == b"the plan"
    assert (folder / "1" / "model.plan.json").is_file()
    assert "version-compatible" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("columns", "batch", "more", "told"),
    [
        (False, "1:2:8", [], "to_trt.py --triton"),
        (True, "2:2:8", [], "batches of 2:2:8"),
        (True, "1:2:8", ["--max-batch", "9"], "batches of 1:2:8"),
        (True, "1:2:8", ["--name", "a/b"], "one path segment"),
        (True, "1:2:8", ["--size", "64x32"], "leave --precision and --size out"),
    ],
)
def test_a_plan_that_triton_cannot_run_is_refused(
    tmp_path: Path,
    spec: ModelSpec,
    columns: bool,
    batch: str,
    more: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = plan(tmp_path, spec, columns, batch)
    assert to_triton.main([str(path), "-o", str(tmp_path / "r"), *more]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("to_triton: ") and told in line
    assert not (tmp_path / "r").exists()


def test_it_runs_from_the_root_of_a_checkout(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "export/to_triton.py", "absent.onnx", "-o", str(tmp_path / "r")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and done.stderr.startswith("to_triton: ")
