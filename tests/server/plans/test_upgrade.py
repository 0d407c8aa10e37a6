"""A service switches to a TensorRT plan while it serves, and reports progress."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from watching import is_running, unbroken

import protocol
from models.plan import (
    BatchRange,
    Machine,
    PlanDescription,
    PlanKey,
    description_path,
    digest,
)
from server.app import create_app
from server.engines.base import Memory
from server.engines.fake import FakeEngine, fake_spec
from server.engines.info import PlanStatus
from server.errors import BadInput, EngineDead, EngineFault, NotFound
from server.frame import AnyPixels, Dropped, Frame, Labels, Mask, Pixels
from server.plans.build import build_command
from server.plans.upgrade import BuildTools, Upgrade, reached
from server.plans.wanted import PlanRequest
from server.settings import EngineSettings, Settings
from server.sinks.base import Sink
from server.workers.fleet import Fleet
from server.workers.worker import Worker

pytestmark = pytest.mark.anyio

SPEC = fake_spec(32, 48)
HERE = Machine("fake GPU", "9.0", "11.4.0")
LIMIT = 60.0
ROOT = Path(__file__).resolve().parents[3]

BUILDER = """
import pathlib, shutil, sys, time, os
folder, kept = map(pathlib.Path, sys.argv[1:])
(folder / "pid").write_text(str(os.getpid()))
def wait(name):
    while not (folder / name).exists():
        time.sleep(0.005)
for percent, phase in ((0, "parsing"), (7, "parsing"), (42, "Tactic selection")):
    print("progress", percent, phase, file=sys.stderr, flush=True)
wait("go")
if (folder / "fail").exists():
    sys.exit("to_trt: TensorRT could not build the plan: no tactic")
kept.parent.mkdir(exist_ok=True)
shutil.copy(folder / "described", kept.with_name(kept.name + ".json"))
kept.write_bytes(b"a plan")
print("progress 100 done", file=sys.stderr, flush=True)
print(kept)
"""


@dataclass
class Bench:
    """A folder with a model, and build_tools whose builds continue when the test says so."""

    folder: Path
    builds: int = 0
    refuses: Exception | None = None

    def __post_init__(self) -> None:
        self.model.write_bytes(b"the model")
        spec = replace(SPEC, precision="fp16", weights="fp16")
        (self.folder / "described").write_text(PlanDescription(spec, self.key).to_json())

    @property
    def model(self) -> Path:
        return self.folder / "model.onnx"

    @property
    def plan(self) -> Path:
        return self.folder / "plans" / "model.plan"

    @property
    def key(self) -> PlanKey:
        return PlanKey(HERE, digest(b"the model"), digest(b"graph"), "fp16", BatchRange(1, 2, 4))

    @property
    def settings(self) -> EngineSettings:
        return EngineSettings(model=self.model, cache=self.plan.parent)

    @property
    def build_tools(self) -> BuildTools:
        return BuildTools(machine=lambda _: HERE, command=self.command, make=self.make)

    @property
    def pid(self) -> int:
        return int((self.folder / "pid").read_text())

    def command(self, request: PlanRequest) -> Sequence[str]:
        self.builds += 1
        assert (request.model, request.folder, request.device) == (self.model, self.plan.parent, 0)
        return [sys.executable, "-c", BUILDER, str(self.folder), str(self.plan)]

    def make(self, settings: EngineSettings) -> FakeEngine:
        """Of the plan, or on the CPU, which the plan is tried against."""
        if self.refuses:
            raise self.refuses
        if settings.provider == "cpu":
            assert (settings.name, settings.model) == ("onnx_rt", self.model)
            return FakeEngine(SPEC)
        assert (settings.name, settings.model) == ("tensor_rt", self.plan)
        return on_gpu(settings.device, "TensorRT 11.4.0", precision="fp16")

    def keep(self) -> None:
        """As a build before has left it."""
        self.plan.parent.mkdir()
        self.plan.write_bytes(b"a plan")
        description_path(self.plan).write_text((self.folder / "described").read_text())

    def go_on(self, fail: bool = False) -> None:
        if fail:
            (self.folder / "fail").touch()
        (self.folder / "go").touch()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def on_gpu(
    number: int = 0, provider: str = "CUDA", name: str = "fake GPU", precision: str = "fp32"
) -> FakeEngine:
    engine = FakeEngine(replace(SPEC, precision=precision))
    engine.device, engine.provider = f"cuda:{number} {name}", provider
    return engine


@contextmanager
def service(
    bench: Bench, make: Callable[[], FakeEngine] = on_gpu, **engine: Any
) -> Iterator[TestClient]:
    settings = Settings(
        folder=bench.folder / "data", engine=bench.settings.model_copy(update=engine)
    )
    app = create_app(settings, make, bench.build_tools)
    with TestClient(app) as web:
        assert web.portal
        web.portal.call(app.state.service.loaded)
        yield web


def served(web: TestClient) -> dict[str, Any]:
    (model,) = web.get("/v1/models").json()["models"]
    assert isinstance(model, dict)
    return model


def until(web: TestClient, stage: str, percent: int | None = None) -> dict[str, Any]:
    """The served model once its plan exists, or once the build has reached ``percent``."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        model = served(web)
        if model["plan"]["stage"] == stage and percent in (None, model["plan"]["percent"]):
            return model
        time.sleep(0.005)
    raise AssertionError(f"not {stage}, but {served(web)['plan']}")


def pictures(count: int, seed: int = 0) -> list[Pixels]:
    shape = (count, SPEC.height, SPEC.width, 3)
    return list(np.random.default_rng(seed).integers(0, 255, shape, np.uint8))


def segment(socket: Any, seq: int, frame: Pixels) -> bytes:
    """Send a frame and wait for its mask."""
    socket.send_bytes(protocol.pack({"seq": seq}, frame.tobytes()))
    answer = socket.receive_bytes()
    message = protocol.unpack(answer, len(answer))
    assert message.header["seq"] == seq
    return bytes(message.payload)


@asynccontextmanager
async def gone_over(serving: Worker | Fleet, bench: Bench, **other: Any) -> AsyncIterator[Upgrade]:
    """A service that runs and has nothing more to come; ``other`` replaces build tools."""
    await serving.start()
    upgrade = Upgrade(serving, bench.settings, replace(bench.build_tools, **other))
    upgrade.begin()
    async with asyncio.timeout(LIMIT):
        await upgrade.ended()
    try:
        yield upgrade
    finally:
        await serving.stop()


class Numb(FakeEngine):
    """Returns the first class everywhere, like a network whose sums overflow."""

    def step(
        self, frames: Sequence[AnyPixels], memories: Sequence[Memory]
    ) -> tuple[list[Labels], list[Memory]]:
        found, kept = super().step(frames, memories)
        return [np.zeros_like(labels) for labels in found], kept


class Nobody(Sink):
    """Reads nothing."""

    def mask(self, mask: Mask) -> None: ...

    def dropped(self, drops: Sequence[Dropped]) -> None: ...

    def failed(self, seq: int, error: Exception) -> None: ...


def test_a_stream_keeps_its_memory_while_the_service_switches(bench: Bench) -> None:
    frames = pictures(9)
    with (
        service(bench) as web,
        web.websocket_connect("/v1/stream", subprotocols=["mastream.v1"]) as socket,
    ):
        request = {"type": "open", "input": "rgb24", "width": 48, "height": 32, "output": "raw"}
        socket.send_json(request)
        assert socket.receive_json()["type"] == "ready"
        building = until(web, "building", 42)
        assert building["plan"]["detail"] == "Tactic selection"
        assert (building["provider"], building["engines"][0]["precision"]) == ("CUDA", "fp32")
        text = web.get("/metrics").text
        assert 'mastream_plan_info{reason="",stage="building"} 1.0' in text
        assert "mastream_plan_build_percent 42.0" in text
        masks = [segment(socket, seq, frames[seq]) for seq in range(5)]
        bench.go_on()
        model = until(web, "serving")
        assert model["plan"] == {"stage": "serving", "percent": 100, "detail": "model.plan"}
        assert model["provider"] == "TensorRT 11.4.0"
        assert model["engines"][0]["precision"] == model["spec"]["precision"] == "fp16"
        masks += [segment(socket, seq, frames[seq]) for seq in range(5, 9)]
        assert masks == [mask.tobytes() for mask in unbroken(SPEC, frames)]
        text = web.get("/metrics").text
        assert 'mastream_plan_info{reason="",stage="serving"} 1.0' in text
        assert 'provider="TensorRT 11.4.0"' in text and "mastream_engine_restarts_total 0.0" in text
    assert bench.builds == 1


def test_a_plan_that_is_kept_is_taken_without_a_build(bench: Bench) -> None:
    bench.keep()
    with service(bench) as web:
        assert until(web, "serving")["provider"] == "TensorRT 11.4.0"
    assert bench.builds == 0


def test_what_one_start_built_the_next_one_takes(bench: Bench) -> None:
    bench.go_on()
    for _ in range(2):
        with service(bench) as web:
            until(web, "serving")
    assert bench.builds == 1


@pytest.mark.parametrize(
    "change",
    [
        {"source": digest(b"another model")},
        {"precision": "fp32"},
        {"machine": replace(HERE, gpu="another GPU")},
    ],
)
def test_a_plan_of_something_else_is_not_taken(bench: Bench, change: dict[str, Any]) -> None:
    bench.keep()
    other = PlanDescription(SPEC, replace(bench.key, **change))
    description_path(bench.plan).write_text(other.to_json())
    bench.go_on()
    with service(bench) as web:
        until(web, "serving")
    assert bench.builds == 1


def test_a_build_that_fails_says_why_and_the_service_continues(bench: Bench) -> None:
    with service(bench) as web:
        until(web, "building", 42)
        bench.go_on(fail=True)
        model = until(web, "failed")
        reason = "to_trt: TensorRT could not build the plan: no tactic"
        assert model["plan"] == {"stage": "failed", "percent": 42, "detail": reason}
        assert model["provider"] == "CUDA"
        assert web.get("/health/ready").status_code == 200
        told = f'mastream_plan_info{{reason="{reason}",stage="failed"}} 1.0'
        assert told in web.get("/metrics").text


@pytest.mark.parametrize(
    "error", [BadInput("not the served graph"), EngineFault("memory"), RuntimeError("CUDA, 700")]
)
def test_a_plan_that_is_refused_leaves_the_engine_that_serves(
    bench: Bench, error: Exception
) -> None:
    bench.keep()
    bench.refuses = error
    with service(bench) as web:
        model = until(web, "failed")
    assert model["provider"] == "CUDA" and model["engines"][0]["precision"] == "fp32"
    # Only a plan that is no good is worth removing; a lack of memory, say, is not its fault.
    advice = f" (remove {bench.plan} to have another built at the next start)"
    advice = advice if isinstance(error, BadInput) else ""
    assert model["plan"]["detail"] == f"cuda:0 fake GPU stays with CUDA{advice}: {error}"


async def test_a_plan_that_answers_otherwise_does_not_serve(bench: Bench) -> None:
    def make(settings: EngineSettings) -> FakeEngine:
        engine = bench.make(settings)
        if settings.name == "onnx_rt":
            return engine
        other = Numb(engine.spec)
        other.provider, other.device = engine.provider, engine.device
        return other

    bench.keep()
    worker = Worker(on_gpu)
    async with gone_over(worker, bench, make=make) as upgrade:
        assert worker.provider == "CUDA"
        told = upgrade.status
    assert told.stage == "failed"
    assert (
        "The plan agrees with its model on only" in told.detail
        and "MASTREAM_ENGINE__PLAN=fp32" in told.detail
    )


def test_a_plan_that_cannot_be_kept_is_not_built(bench: Bench) -> None:
    bench.plan.parent.write_bytes(b"a file where the folder should be")
    with service(bench) as web:
        assert str(bench.plan.parent) in until(web, "failed")["plan"]["detail"]
    assert bench.builds == 0


def test_stopping_the_service_stops_the_build(bench: Bench) -> None:
    with service(bench) as web:
        until(web, "building", 42)
        assert is_running(bench.pid)
    assert not is_running(bench.pid) and not bench.plan.exists()


def test_draining_stops_the_build(bench: Bench) -> None:
    with service(bench) as web:
        until(web, "building", 42)
        assert web.portal
        web.portal.call(web.app.state.service.drain)  # type: ignore[attr-defined]
        assert not is_running(bench.pid)


async def test_without_tensorrt_it_says_so(bench: Bench) -> None:
    def nothing(_: int) -> Machine:
        raise NotFound("TensorRT needs pip install 'mastream[gpu]'")

    async with gone_over(Worker(on_gpu), bench, machine=nothing) as upgrade:
        told = upgrade.status
    assert told == PlanStatus("off", detail="TensorRT needs pip install 'mastream[gpu]'")


async def test_what_the_real_command_says_is_what_is_reported(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    async with gone_over(Worker(on_gpu), bench, command=build_command) as upgrade:
        told = upgrade.status  # what it is given is no ONNX file
    assert told.stage == "failed" and told.detail.startswith("to_trt: ")


async def test_one_build_serves_every_gpu_of_its_kind(bench: Bench) -> None:
    bench.go_on()
    makers = [
        lambda: on_gpu(0),
        lambda: on_gpu(1, name="another GPU"),
        lambda: on_gpu(2),
    ]
    fleet = Fleet([Worker(make) for make in makers], max_sessions=8)
    async with gone_over(fleet, bench) as upgrade:
        assert upgrade.status == PlanStatus("serving", 100, "model.plan")
        assert [(built.device, built.provider) for built in fleet.engines] == [
            ("cuda:0 fake GPU", "TensorRT 11.4.0"),
            ("cuda:1 another GPU", "CUDA"),
            ("cuda:2 fake GPU", "TensorRT 11.4.0"),
        ]
    assert bench.builds == 1


async def test_an_engine_that_stays_hinders_no_other(bench: Bench) -> None:
    def make(settings: EngineSettings) -> FakeEngine:
        if settings.name == "tensor_rt" and settings.device == 0:
            raise EngineFault("the memory of GPU 0 is full")
        return bench.make(settings)

    bench.keep()
    fleet = Fleet([Worker(lambda: on_gpu(0)), Worker(lambda: on_gpu(1))], max_sessions=8)
    reason = "cuda:0 fake GPU stays with CUDA: the memory of GPU 0 is full"
    told = f"model.plan, on 1 of 2 engines: {reason}"
    async with gone_over(fleet, bench, make=make) as upgrade:
        assert upgrade.status == PlanStatus("serving", 100, told)
        assert [built.provider for built in fleet.engines] == ["CUDA", "TensorRT 11.4.0"]


async def test_a_plan_that_is_gone_when_its_engine_dies_is_reported(bench: Bench) -> None:
    shown = pictures(1)[0]

    def die(frames: Sequence[AnyPixels]) -> None:
        if frames[0] is not shown:
            return
        bench.refuses = NotFound("there is no model.plan")
        raise EngineDead("GPU 0 failed")

    def make(settings: EngineSettings) -> FakeEngine:
        engine = bench.make(settings)
        mortal = FakeEngine(engine.spec, on_step=die)
        mortal.provider, mortal.device = engine.provider, engine.device
        return mortal

    bench.keep()
    worker = Worker(on_gpu)
    async with gone_over(worker, bench, make=make) as upgrade:
        assert upgrade.status.stage == "serving"
        session = worker.open(Nobody(), policy=protocol.DropPolicy.EVERY, window=1)
        worker.offer(session, Frame(shown, 0))
        async with asyncio.timeout(LIMIT):
            await worker.settled(session)
        told = "cuda:0 fake GPU has returned to CUDA: there is no model.plan"
        assert upgrade.status == PlanStatus("failed", 100, told)


def test_the_log_reports_each_tenth(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.go_on()
    with caplog.at_level("INFO", "server.plans.upgrade"), service(bench) as web:
        until(web, "serving")
    told = [line for line in caplog.messages if "%" in line]
    assert told == [
        "the TensorRT plan: 42 %, Tactic selection",
        "the TensorRT plan: 100 %, done",
    ]


def test_a_tenth_is_reached_once() -> None:
    assert [reached(*pair) for pair in ((0, 9), (9, 10), (10, 19), (19, 42))] == [
        False,
        True,
        False,
        True,
    ]
