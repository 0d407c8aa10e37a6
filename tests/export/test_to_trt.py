"""The command: its files, its output and its exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from fake_builds import HostDevice, building, pictures
from numpy.typing import NDArray
from tensorrt_contract import Contract

from export import to_trt, to_trt_verify
from export.stopping import stopping
from export.to_trt_graph import TrtGraph
from export.to_trt_verify import PlanRunner
from models.plan import BatchRange, Machine, PlanDescription, digest
from models.spec import ModelSpec
from server.errors import NotFound

pytestmark = pytest.mark.usefixtures("small_networks")

HERE = Machine("NVIDIA Test", "9.0", "11.4.0.106")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def installed(contract: Contract, monkeypatch: pytest.MonkeyPatch) -> Iterator[Contract]:
    """A machine with TensorRT and a GPU."""
    contract.module.__dict__["__version__"] = HERE.tensorrt
    monkeypatch.setitem(sys.modules, "tensorrt", contract.module)
    monkeypatch.setattr(to_trt, "this_machine", lambda *_: HERE)
    yield contract


def test_a_plan_is_written_with_its_description(
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
    installed: Contract, ready: Path, tmp_path: Path
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


def test_for_triton_count_has_an_axis(installed: Contract, ready: Path, tmp_path: Path) -> None:
    assert to_trt.main([str(ready), "-o", str(tmp_path / "t.plan"), "--triton"]) == 0
    (profile,) = installed.made["IOptimizationProfile"]
    shapes = {call.args[0]: call.args[3] for call in profile.set_shape.call_args_list}
    assert shapes["count"] == (4, 1)
    assert json.loads((tmp_path / "t.plan.json").read_text())["key"]["columns"] is True


def test_it_is_verified_where_asked(
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

    monkeypatch.setattr(to_trt_verify, "read_frames", frames)
    monkeypatch.setattr(to_trt_verify, "PlanRunner", on_cpu)
    asked = [str(ready), "-o", str(tmp_path / "v.plan"), "--verify", "clip.mp4"]
    for wrong in (False, True):
        HostDevice(installed, graph, wrong)
        assert to_trt.main(asked) == int(wrong)
        assert ("FAIL" if wrong else "ok  ") in capsys.readouterr().out


@pytest.mark.parametrize("failure", ["parse", "build"])
def test_a_failed_build_leaves_nothing(
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


def test_the_end_of_stdin_stops_it_where_asked(
    installed: Contract, ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    stopped: list[Event] = []

    @contextmanager
    def watched(pipe: int | None = None) -> Iterator[Event]:
        with stopping(pipe) as stop:
            stopped.append(stop)
            yield stop

    def left_alone(network: Any, config: Any) -> bytes | None:
        os.close(write)
        assert stopped[0].wait(30)
        return building([])(network, config)

    monkeypatch.setattr(to_trt, "stopping", watched)
    monkeypatch.setattr(to_trt, "STDIN", read)
    installed.answers["Builder.build_serialized_network"] = left_alone
    out = tmp_path / "plans"
    assert to_trt.main([str(ready), "-o", str(out), "--until-stdin-ends"]) == 130
    assert not out.exists()
    os.close(read)


@pytest.mark.parametrize(
    ("version", "told"),
    [(None, "pip install 'mastream[gpu]'"), ("10.16.0", "pip install 'tensorrt>=11'")],
)
def test_without_tensorrt_11_it_says_what_to_install(
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
    installed: Contract,
    ready: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del installed

    def none(device: int) -> None:
        raise NotFound(f"CUDA finds no GPU here, not even {device}")

    monkeypatch.undo()
    monkeypatch.setattr(to_trt, "load_tensorrt", lambda: None)
    monkeypatch.setattr(to_trt, "use_device", none)
    assert to_trt.main([str(ready), "-o", str(tmp_path / "p"), "--device", "3"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "on the GPU it is for: CUDA finds no GPU here, not even 3" in line


def test_wrong_requests_end_in_one_sentence(
    installed: Contract, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del installed
    assert to_trt.main([str(tmp_path / "absent.onnx"), "-o", str(tmp_path / "p")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("to_trt: ") and "absent.onnx" in line
    for wrong in (["--batch", "4:2:1"], ["--optimisation-level", "6"], ["--precision", "int8"]):
        with pytest.raises(SystemExit, match="2"):
            to_trt.main(["m.onnx", "-o", "p", *wrong])


def test_it_runs_from_the_root_of_a_checkout(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "export/to_trt.py", "m.onnx", "-o", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stderr.startswith("to_trt: ")
