"""The contract of an engine, over every row of the table; then what each does on its own."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from fake_cuda import FakeCuda
from fake_tensorrt import FakeTensorRt
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, parser
from pydantic import ValidationError

from export.to_onnx import export
from models import checkpoint
from models.build import Recipe, build
from models.plan import BatchRange, Machine, PlanDescription, PlanKey, description_path
from models.segmenter import Segmenter
from models.spec import METADATA_KEY, ClassLabel, ModelSpec, StageMemory
from server.engines import ENGINES, each_device, make_engine, onnx_gpu, onnx_rt
from server.engines.base import Engine
from server.engines.buffers import Port
from server.engines.cuda import CudaDevice, Launch, count_devices
from server.engines.device_engine import DeviceEngine
from server.engines.fake import FakeEngine, fake_spec
from server.engines.onnx_gpu import CUDA, TENSORRT, OnnxGpuEngine
from server.engines.onnx_rt import OnnxEngine
from server.engines.pytorch import TorchEngine, load_network
from server.engines.pytorch_gpu import TorchGpuEngine, TorchProgram
from server.engines.tensor_rt import TensorRtEngine, load_tensorrt
from server.errors import BadInput, BadRequest, EngineDead, EngineFault, NotFound
from server.frame import Labels, Pixels
from server.settings import EngineSettings

pytestmark = pytest.mark.usefixtures("small_networks")

TINY = """
<ir_version: 10, opset_import: ["": 21]>
tiny (uint8[B,16,24,3] frame, int64[B] count,
      float[B,2,24,3] memory_key_1, float[B,2,24,3] memory_value_1)
  => (uint8[B,16,24] mask, int64[B] count_out,
      float[B,2,24,3] memory_key_1_out, float[B,2,24,3] memory_value_1_out)
  <int64[2] slots = {0, 1}, float[1,2,1,1] weights = {0.9, 0.4}, int64[1] one = {1},
   int64[1] none = {0}, int64[1] frames = {2}, int64[2] last = {2, 3}, float zero = {0.0},
   int64[3] to_tokens = {0, 3, 24}, int64[4] to_grid = {0, 3, 4, 6}, int64 limit = {2},
   float[4] scales = {1.0, 1.0, 4.0, 4.0}>
{
  numbers = Cast<to=1>(frame)
  planes = Transpose<perm=[0,3,1,2]>(numbers)
  pooled = AveragePool<kernel_shape=[4,4], strides=[4,4]>(planes)
  flat = Reshape(pooled, to_tokens)
  tokens = Transpose<perm=[0,2,1]>(flat)
  fresh = Unsqueeze(tokens, one)
  doubled = Add(fresh, fresh)
  keys = Concat<axis=1>(fresh, memory_key_1)
  memory_key_1_out = Slice(keys, none, frames, one)
  values = Concat<axis=1>(doubled, memory_value_1)
  memory_value_1_out = Slice(values, none, frames, one)
  held = Unsqueeze(count, one)
  filled = Less(slots, held)
  filled4 = Unsqueeze(filled, last)
  known = Where(filled4, memory_value_1, zero)
  weighted = Mul(known, weights)
  recalled = ReduceSum<keepdims=0>(weighted, one)
  back = Transpose<perm=[0,2,1]>(recalled)
  grid = Reshape(back, to_grid)
  whole = Resize<mode="nearest">(grid, , scales)
  scores = Add(planes, whole)
  best = ArgMax<axis=1, keepdims=0>(scores)
  mask = Cast<to=2>(best)
  more = Add(count, one)
  count_out = Min(more, limit)
}
"""
"""The served graph with nothing learnt in it: labels = the brightest channel of the frame plus
what is remembered of the last two, the newest first."""

TINY_SPEC = ModelSpec(
    name="tiny",
    head="none",
    backbone="none",
    classes=(
        ClassLabel("red", (255, 0, 0)),
        ClassLabel("green", (0, 255, 0)),
        ClassLabel("blue", (0, 0, 255)),
    ),
    height=16,
    width=24,
    output_stride=4,
    memory=(StageMemory(1, tokens=24, key_width=3, value_width=3),),
    memory_frames=2,
    memory_horizon=2,
    preset="default",
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
)


def save_tiny(
    folder: Path, spec: ModelSpec | None = TINY_SPEC, graph: str | onnx.ModelProto = TINY
) -> Path:
    """A model file, described by ``spec`` if there is one."""
    model = parser.parse_model(graph) if isinstance(graph, str) else graph
    onnx.checker.check_model(model)
    if spec:
        helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    path = folder / "tiny.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real network with fresh weights, exported as the shipped one is."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("network")
    recipe = Recipe(output_stride=32)
    fresh = build(recipe)
    make_undecided(fresh, 64, 96)
    checkpoint.save(folder / "network.pt", recipe, fresh.state_dict(), dataset="camvid")
    export(folder / "network.pt", folder / "network.onnx", (64, 96), weights="int8")
    return folder / "network.onnx"


@torch.no_grad()
def make_undecided(network: Segmenter, height: int, width: int) -> None:
    """Norms that fit noise, and classes that are equally likely on it: every pixel is close, so
    that what is remembered shows in the masks."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    memory = network.encoder.blank(4, height, width, torch.zeros(()))
    noise = torch.randint(0, 256, (3, 4, height, width, 3), dtype=torch.uint8)
    network.train()
    for frames in noise:
        _, features = network.logits(network.normalise(frames), memory)
        memory = features.memory
    network.eval()
    logits, _ = network.logits(network.normalise(noise[0]), memory)
    classify = network.head.get_submodule("classify")
    assert isinstance(classify, torch.nn.Conv2d) and classify.bias is not None
    classify.bias -= logits.mean(dim=(0, 2, 3))


class LazySession:
    """An ONNX Runtime session on a fake GPU: it runs when the device's stream comes to it, and
    what it takes for the GPU's memory is the host's."""

    def __init__(self, session: Any, device: FakeCuda) -> None:
        self._session = session
        self._device = device

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def io_binding(self) -> Any:
        binding = self._session.io_binding()
        bind_input, bind_output = binding.bind_input, binding.bind_output
        binding.bind_input = lambda name, _, *rest: bind_input(name, "cpu", *rest)
        binding.bind_output = lambda name, _, *rest: bind_output(name, "cpu", *rest)
        return binding

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        self._device.enqueue(lambda: self._session.run_with_iobinding(binding, options))


def onnx_on_fake_gpu(request: pytest.FixtureRequest, folder: Path) -> Engine:
    device, patch = FakeCuda(), request.getfixturevalue("monkeypatch")
    opened = onnx_gpu.open_session
    patch.setattr(onnx_gpu, "_open", lambda model, *_: LazySession(opened(model, None), device))
    return OnnxGpuEngine(save_tiny(folder), device, max_batch=3)


def save_plan(folder: Path, plan: bytes, machine: Machine) -> Path:
    """A plan of the tiny graph with its description next to it."""
    path = folder / "tiny.plan"
    path.write_bytes(plan)
    key = PlanKey(machine, "source", "graph", "fp32", BatchRange(1, 3, 3))
    description_path(path).write_text(PlanDescription(TINY_SPEC, key).to_json())
    return path


def tensor_rt_on_fake_gpu(_: pytest.FixtureRequest, folder: Path) -> Engine:
    device = FakeCuda()
    machine = Machine(device.name, device.capability, FakeTensorRt.__version__)
    plan = save_plan(folder, save_tiny(folder).read_bytes(), machine)
    return TensorRtEngine(plan, device, max_batch=3, tensorrt=FakeTensorRt(device))


class HostTorchProgram(TorchProgram):
    """The network on the CPU, run when a fake GPU's stream comes to it."""

    def __init__(self, network: Segmenter, device: FakeCuda) -> None:
        self._network = network
        self._device = device

    def view(self, port: Port, batch: int) -> torch.Tensor:
        held = (ctypes.c_uint8 * (batch * port.nbytes)).from_address(port.pointer)
        return torch.from_numpy(np.frombuffer(held, port.dtype).reshape(batch, *port.shape))

    def record(self, step: Launch) -> Launch:
        return lambda: self._device.enqueue(step)


def pytorch_on_fake_gpu(request: pytest.FixtureRequest, _: Path) -> Engine:
    device = FakeCuda()
    network, spec = load_network(request.getfixturevalue("network"))
    engine = DeviceEngine(spec, device, HostTorchProgram(network, device), 3)
    engine.provider = "PyTorch on a fake GPU"
    return engine


def gpu() -> CudaDevice:
    """The first GPU; the test is skipped, with the reason, if there is none."""
    try:
        count_devices()
    except NotFound as reason:
        pytest.skip(str(reason))
    return CudaDevice(0)


def build_plan(model: Path, max_batch: int) -> bytes:
    """A plan of the model for this machine."""
    trt = load_tensorrt()
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    assert trt.OnnxParser(network, logger).parse(model.read_bytes())
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        rest = tuple(tensor.shape)[1:]
        profile.set_shape(tensor.name, (1, *rest), (max_batch, *rest), (max_batch, *rest))
    config = builder.create_builder_config()
    config.add_optimization_profile(profile)
    return bytes(builder.build_serialized_network(network, config))


def tensor_rt_on_gpu(_: pytest.FixtureRequest, folder: Path) -> Engine:
    device = gpu()
    try:
        machine = Machine(device.name, device.capability, load_tensorrt().__version__)
    except NotFound as reason:
        pytest.skip(str(reason))
    plan = save_plan(folder, build_plan(save_tiny(folder), 3), machine)
    return TensorRtEngine(plan, device, max_batch=3)


def onnx_on_gpu(provider: str, request: pytest.FixtureRequest) -> Engine:
    device = gpu()
    try:
        return OnnxGpuEngine(
            request.getfixturevalue("network"), device, provider=provider, max_batch=3
        )
    except NotFound as reason:
        pytest.skip(f"{provider}: {reason}")


def pytorch_on_gpu(request: pytest.FixtureRequest, _: Path) -> Engine:
    gpu().close()
    return TorchGpuEngine(request.getfixturevalue("network"), max_batch=3)


MakeRow = Callable[[pytest.FixtureRequest, Path], Engine]

# "NAME" or "NAME of what": a name of the table, more than once where it runs several models.
ROWS: Mapping[str, MakeRow] = {
    "fake": lambda *_: FakeEngine(fake_spec(40, 56), max_batch=3),
    "onnx_rt of a tiny graph": lambda _, folder: OnnxEngine(
        save_tiny(folder), max_batch=3, threads=1
    ),
    "onnx_rt of the network": lambda request, _: OnnxEngine(
        request.getfixturevalue("network"), max_batch=3, threads=1
    ),
    "onnx_rt on a fake GPU": onnx_on_fake_gpu,
    "tensor_rt on a fake GPU": tensor_rt_on_fake_gpu,
    "pytorch": lambda request, _: TorchEngine(
        request.getfixturevalue("network"), max_batch=3, threads=1
    ),
    "pytorch on a fake GPU": pytorch_on_fake_gpu,
}

GPU_ROWS: Mapping[str, MakeRow] = {
    "onnx_rt on CUDA": lambda request, _: onnx_on_gpu(CUDA, request),
    "onnx_rt on TensorRT": lambda request, _: onnx_on_gpu(TENSORRT, request),
    "tensor_rt on a GPU": tensor_rt_on_gpu,
    "pytorch on CUDA": pytorch_on_gpu,
}


@pytest.fixture(params=[*ROWS, *(pytest.param(row, marks=pytest.mark.gpu) for row in GPU_ROWS)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    made = {**ROWS, **GPU_ROWS}[request.param](request, tmp_path)
    yield made
    made.close()


def assert_masks(found: Sequence[Labels], expected: Sequence[Labels], engine: Engine) -> None:
    """Equal, but for a label in a thousand: sums of another order may round another way. On a GPU,
    where they have 11 bits (TF32, fp16) and every pixel of ours is close, for one in fifty."""
    least = 0.98 if is_on_gpu(engine) else 0.999
    for mask, wanted in zip(found, expected, strict=True):
        assert (mask == wanted).mean() > least


def is_on_gpu(engine: Engine) -> bool:
    return engine.device != "cpu" and FakeCuda.name not in engine.device


def pictures(engine: Engine, count: int, seed: int = 0) -> list[Pixels]:
    shape = (count, engine.spec.height, engine.spec.width, 3)
    return list(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def run(engine: Engine, frames: Sequence[Pixels], memory: Any = None) -> tuple[list[Labels], Any]:
    """One stream alone, frame by frame."""
    memory = engine.blank() if memory is None else memory
    masks = []
    for frame in frames:
        (mask,), (memory,) = engine.step([frame], [memory])
        masks.append(mask)
    return masks, memory


def poison(engine: Engine, memory: Any, count: int | None = None) -> Any:
    """The memory with not-a-number in every slot."""
    saved = dict(engine.save(memory))
    for name in saved.keys() - {"count"}:
        saved[name] = np.full_like(saved[name], np.nan)
    if count is not None:
        saved["count"] = np.array(count, np.int64)
    return engine.restore(saved)


def assert_same(left: Mapping[str, NDArray[Any]], right: Mapping[str, NDArray[Any]]) -> None:
    """The same bits: nothing was touched."""
    assert left.keys() == right.keys()
    for name, array in left.items():
        np.testing.assert_array_equal(array, right[name], strict=True)


def assert_alike(
    left: Mapping[str, NDArray[Any]], right: Mapping[str, NDArray[Any]], engine: Engine
) -> None:
    """The same but for rounding: a batch of another size may sum in another order.

    What a sum is off by depends on its terms, so it is held to the largest value of all.
    """
    assert left.keys() == right.keys()
    for name, array in left.items():
        largest = max(1.0, float(np.abs(right[name]).max()))
        rtol, atol = (5e-2, 5e-2) if is_on_gpu(engine) else (0.0, 1e-4 * largest)
        np.testing.assert_allclose(array, right[name], rtol=rtol, atol=atol, strict=True)


def test_every_engine_of_the_table_is_put_to_the_contract() -> None:
    assert {row.split(" ")[0] for row in ROWS} == ENGINES.keys()
    gpu_engines = {"onnx_rt", "tensor_rt", "pytorch"}
    assert {row.split(" ")[0] for row in GPU_ROWS} == gpu_engines


def test_masks_are_labels_of_the_models_size(engine: Engine) -> None:
    (mask,), _ = run(engine, pictures(engine, 1))
    assert mask.shape == (engine.spec.height, engine.spec.width)
    assert mask.dtype == np.uint8
    assert mask.flags.c_contiguous
    assert mask.max() < len(engine.spec.classes)


def test_masks_depend_on_the_last_frames_in_their_order(engine: Engine) -> None:
    first, second, third, last = pictures(engine, 4)
    fresh, after, turned = (
        run(engine, past)[0][-1]
        for past in ([last], [first, second, third, last], [third, second, first, last])
    )
    assert not np.array_equal(fresh, after)
    assert not np.array_equal(after, turned)


def test_nothing_older_than_the_horizon_matters(engine: Engine) -> None:
    horizon = engine.spec.memory_horizon
    assert horizon
    frames = pictures(engine, 3 + horizon)
    masks, _ = run(engine, frames)
    again, _ = run(engine, frames[2:])
    assert_masks(masks[2 + horizon :], again[horizon:], engine)


def test_memory_fills_up_to_its_length(engine: Engine) -> None:
    memory, counts = engine.blank(), []
    for frame in pictures(engine, engine.spec.memory_frames + 2):
        counts.append(engine.filled(memory))
        _, (memory,) = engine.step([frame], [memory])
    full = engine.spec.memory_frames
    assert counts == [min(seen, full) for seen in range(full + 2)]
    assert engine.filled(memory) == full


def test_a_batch_at_different_fill_levels_equals_each_alone(engine: Engine) -> None:
    streams = [pictures(engine, length + 1, seed=length) for length in range(3)]
    alone = [run(engine, frames) for frames in streams]
    memories = [run(engine, frames[:-1])[1] for frames in streams]
    masks, kept = engine.step([frames[-1] for frames in streams], memories)
    for slot, (expected, memory) in enumerate(alone):
        assert_masks([masks[slot]], [expected[-1]], engine)
        assert_alike(engine.save(kept[slot]), engine.save(memory), engine)


def test_streams_keep_their_memory_when_they_change_slots(engine: Engine) -> None:
    streams = [pictures(engine, 4, seed=seed) for seed in range(3)]
    memories = [engine.blank()] * 3
    masks: list[list[Labels]] = [[], [], []]
    for number in range(4):
        order = np.roll([0, 1, 2], number)
        frames = [streams[index][number] for index in order]
        labels, kept = engine.step(frames, [memories[index] for index in order])
        for index, label, memory in zip(order, labels, kept, strict=True):
            memories[index] = memory
            masks[index].append(label)
    for seed, frames in enumerate(streams):
        assert_masks(masks[seed], run(engine, frames)[0], engine)


def test_nothing_given_is_changed_and_nothing_returned_changes_later(engine: Engine) -> None:
    frames = pictures(engine, 3)
    memories = [run(engine, frames[:length])[1] for length in range(3)]
    frames_before = [frame.copy() for frame in frames]
    saved = [engine.save(memory) for memory in memories]
    masks, kept = engine.step(frames, memories)
    masks_before = [mask.copy() for mask in masks]
    kept_before = [engine.save(memory) for memory in kept]
    engine.step(pictures(engine, 3, seed=9), kept)
    np.testing.assert_array_equal(frames, frames_before)
    np.testing.assert_array_equal(masks, masks_before)
    for memory, before in zip([*memories, *kept], [*saved, *kept_before], strict=True):
        assert_same(engine.save(memory), before)


def test_not_a_number_in_one_memory_reaches_no_other_stream(engine: Engine) -> None:
    frames = pictures(engine, 3)
    memories = [run(engine, pictures(engine, 2, seed=seed))[1] for seed in range(3)]
    expected, kept = engine.step(frames, memories)
    ill = [memories[0], poison(engine, memories[1]), memories[2]]
    masks, ill_kept = engine.step(frames, ill)
    for healthy in (0, 2):
        np.testing.assert_array_equal(masks[healthy], expected[healthy])
        assert_same(engine.save(ill_kept[healthy]), engine.save(kept[healthy]))


def test_what_lies_in_empty_slots_never_matters(engine: Engine) -> None:
    frames = pictures(engine, 2)
    masks, _ = run(engine, frames)
    poisoned, _ = run(engine, frames, poison(engine, engine.blank(), count=0))
    np.testing.assert_array_equal(poisoned, masks)


def test_a_saved_memory_continues_where_it_was(engine: Engine) -> None:
    frames = pictures(engine, 4)
    expected, _ = run(engine, frames)
    _, memory = run(engine, frames[:2])
    restored = engine.restore(engine.save(memory))
    assert engine.filled(restored) == engine.filled(memory)
    np.testing.assert_array_equal(run(engine, frames[2:], restored)[0], expected[2:])


def test_a_saved_memory_is_a_copy(engine: Engine) -> None:
    _, memory = run(engine, pictures(engine, 2))
    saved = engine.save(memory)
    restored = engine.restore(saved)
    for array in saved.values():
        array[...] = 1
    np.testing.assert_equal(engine.save(restored), engine.save(memory))


def a_key(saved: dict[str, Any]) -> str:
    """The name of a stage's keys."""
    return next(name for name in saved if name.startswith("memory_key"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda saved: saved | {a_key(saved): saved[a_key(saved)][:, 1:]},
        lambda saved: saved | {a_key(saved): saved[a_key(saved)].astype(np.float64)},
        lambda saved: {name: saved[name] for name in saved.keys() - {a_key(saved)}},
        lambda saved: saved | {"memory_key_9": saved[a_key(saved)]},
        lambda saved: saved | {"count": np.array(3)},
        lambda saved: saved | {"count": np.array([1, 1])},
    ],
    ids=["shape", "type", "missing", "unknown", "count", "counts"],
)
def test_a_memory_of_another_model_is_refused(
    engine: Engine, spoil: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    with pytest.raises(BadRequest):
        engine.restore(spoil(dict(engine.save(engine.blank()))))


def test_a_frame_of_another_size_is_our_own_mistake(engine: Engine) -> None:
    small = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(AssertionError):
        engine.step([small], [engine.blank()])


def test_closing_twice_is_harmless_and_ends_it(engine: Engine) -> None:
    memory = engine.blank()
    engine.close()
    engine.close()
    with pytest.raises(EngineDead):
        engine.step(pictures(engine, 1), [memory])


def test_a_failed_step_leaves_memories_as_they_were(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = pictures(engine, 3)
    memories = [run(engine, frames[:length])[1] for length in range(3)]
    saved = [engine.save(memory) for memory in memories]
    expected, _ = engine.step(frames, memories)
    with monkeypatch.context() as patch:
        break_next_step(engine, patch)
        with pytest.raises(EngineFault) as caught:
            engine.step(frames, memories)
    assert not isinstance(caught.value, EngineDead)
    for memory, before in zip(memories, saved, strict=True):
        assert_same(engine.save(memory), before)
    np.testing.assert_array_equal(engine.step(frames, memories)[0], expected)


class OutOfMemory:
    """A network with no room left."""

    def step(self, *_: Any) -> None:
        raise RuntimeError("out of memory")


def break_next_step(engine: Engine, patch: pytest.MonkeyPatch) -> None:
    """Make the step fail inside, each engine in its own way."""

    def fail(*_: Any) -> None:
        raise EngineFault("as asked")

    if isinstance(engine, FakeEngine):
        patch.setattr(engine, "_on_step", fail)
    elif isinstance(engine, OnnxEngine):
        patch.setattr(engine, "_outputs", ["no such output"])
    elif isinstance(engine, TorchEngine):
        patch.setattr(engine, "_network", OutOfMemory())
    elif isinstance(engine, DeviceEngine):
        patch.setattr(engine, "_launches", dict.fromkeys(engine._launches, fail))
    else:
        pytest.fail(f"how does a step of {type(engine).__name__} fail?")


def test_settings_choose_the_engine(tmp_path: Path) -> None:
    fake = make_engine(EngineSettings(name="fake", max_batch=7))
    assert (fake.provider, fake.max_batch) == ("fake", 7)
    model = save_tiny(tmp_path)
    real = make_engine(EngineSettings(name="onnx_rt", model=model, max_batch=2, threads=1))
    assert (real.provider, real.max_batch) == ("CPUExecutionProvider", 2)
    assert real.spec == TINY_SPEC


def test_each_gpu_that_is_named_has_an_engine_of_its_own() -> None:
    named = each_device(EngineSettings(devices="2,0"))
    assert [(one.devices, one.device, one.needs_gpu) for one in named] == [
        ("2", 2, True),
        ("0", 0, True),
    ]


def test_all_gpus_serve_where_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.engines.count_devices", lambda: 3)
    first, *others = each_device(EngineSettings())
    assert (first.device, first.needs_gpu) == (0, False)
    assert [(one.device, one.needs_gpu) for one in others] == [(1, True), (2, True)]
    assert len(each_device(EngineSettings(provider="cpu"))) == 1


def test_without_a_gpu_there_is_one_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> int:
        raise NotFound("no GPU")

    monkeypatch.setattr("server.engines.count_devices", none)
    assert each_device(EngineSettings()) == [EngineSettings()]


@pytest.mark.parametrize("devices", ["", "0,", "a", "-1", "0;1"])
def test_devices_are_numbers_by_comma(devices: str) -> None:
    with pytest.raises(ValidationError, match="devices"):
        EngineSettings(devices=devices)


def test_an_unknown_engine_is_reported_with_those_there_are() -> None:
    with pytest.raises(NotFound, match=r"'gpu'.*fake, onnx_rt"):
        make_engine(EngineSettings(name="gpu"))


def test_the_fake_model_has_a_picture_of_camvid() -> None:
    spec = FakeEngine().spec
    assert (spec.width, spec.height, len(spec.classes)) == (480, 352, 11)
    assert spec.memory_frames == spec.memory_horizon == 2


def test_the_fake_engine_asks_before_each_step_what_goes_wrong() -> None:
    seen: list[int] = []

    def die_at_a_pair(frames: Sequence[Pixels]) -> None:
        seen.append(len(frames))
        if len(frames) == 2:
            raise EngineDead("as asked")

    engine = FakeEngine(fake_spec(16, 16), on_step=die_at_a_pair)
    run(engine, pictures(engine, 1))
    with pytest.raises(EngineDead):
        engine.step(pictures(engine, 2), [engine.blank()] * 2)
    assert seen == [1, 2]


def test_no_stream_keeps_its_whole_batch_alive(tmp_path: Path) -> None:
    engine = OnnxEngine(save_tiny(tmp_path), max_batch=2, threads=1)
    masks, memories = engine.step(pictures(engine, 2), [engine.blank()] * 2)
    kept = [*masks, *(tensor for memory in memories for tensor in memory.tensors)]
    assert all(array.base is None for array in kept)


def test_a_model_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="absent"):
        OnnxEngine(tmp_path / "absent.onnx")


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.onnx"
    path.write_text("not a graph")
    with pytest.raises(BadInput, match="not a graph"):
        OnnxEngine(path)


def test_a_model_without_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="export/to_onnx"):
        OnnxEngine(save_tiny(tmp_path, spec=None))


@pytest.mark.parametrize("text", ["{", '{"name": "half"}'])
def test_a_broken_description_is_refused(tmp_path: Path, text: str) -> None:
    model = parser.parse_model(TINY)
    helper.set_model_props(model, {METADATA_KEY: text})
    onnx.save(model, tmp_path / "broken.onnx")
    with pytest.raises(BadInput, match="description"):
        OnnxEngine(tmp_path / "broken.onnx")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"height": 32}, "frame"),
        ({"memory_frames": 3}, "memory_key_1"),
        ({"precision": "fp16"}, "memory_key_1"),
        ({"memory": ()}, "memory_key_1"),
        ({"memory": (*TINY_SPEC.memory, StageMemory(4, 6, 3, 3))}, "memory_key_4"),
    ],
)
def test_a_graph_unlike_its_description_is_refused(
    tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    model = save_tiny(tmp_path, replace(TINY_SPEC, **change))
    with pytest.raises(BadInput, match=named):
        OnnxEngine(model)


def stored_as_int8() -> onnx.ModelProto:
    """The tiny graph with a 1x1 convolution whose weights lie behind DequantizeLinear."""
    model = parser.parse_model(TINY)
    weights = np.array([[90, 20, -7], [3, 110, 5], [-20, 9, 127]], np.int8).reshape(3, 3, 1, 1)
    scales = np.array([0.01, 0.02, 0.015], np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weights, "stored"))
    model.graph.initializer.append(numpy_helper.from_array(scales, "scale"))
    unpack = helper.make_node("DequantizeLinear", ["stored", "scale"], ["weight"], axis=0)
    convolve = helper.make_node("Conv", ["raw_planes", "weight"], ["planes"])
    transpose = next(node for node in model.graph.node if node.output[0] == "planes")
    transpose.output[0] = "raw_planes"
    at = list(model.graph.node).index(transpose) + 1
    for node in (convolve, unpack):
        model.graph.node.insert(at, node)
    return model


def stored_as_float(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same with its weights unpacked."""
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    stored, scale = (
        numpy_helper.to_array(next(i for i in plain.graph.initializer if i.name == name))
        for name in ("stored", "scale")
    )
    weight = (stored.astype(np.float32) * scale[:, None, None, None]).astype(np.float32)
    plain.graph.node.remove(next(n for n in plain.graph.node if n.op_type == "DequantizeLinear"))
    plain.graph.initializer.append(numpy_helper.from_array(weight, "weight"))
    assert plain.graph.initializer[-1].data_type == TensorProto.FLOAT
    return plain


def test_weights_stored_as_int8_run_as_float32(tmp_path: Path) -> None:
    packed = stored_as_int8()
    spec = replace(TINY_SPEC, weights="int8")
    small = OnnxEngine(save_tiny(tmp_path, spec, packed), threads=1)
    (tmp_path / "plain").mkdir()
    full = OnnxEngine(save_tiny(tmp_path / "plain", TINY_SPEC, stored_as_float(packed)), threads=1)
    frames = pictures(small, 4)
    np.testing.assert_array_equal(run(small, frames)[0], run(full, frames)[0])


def test_weights_stored_as_int8_are_unpacked_once_at_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_tiny(tmp_path, replace(TINY_SPEC, weights="int8"), stored_as_int8())
    optimised = tmp_path / "optimised.onnx"
    options = onnx_rt.session_options

    def keep_what_runs(spec: ModelSpec, threads: int | None) -> Any:
        made = options(spec, threads)
        made.optimized_model_filepath = str(optimised)
        return made

    monkeypatch.setattr(onnx_rt, "session_options", keep_what_runs)
    OnnxEngine(model, threads=1)
    kinds = {node.op_type for node in onnx.load(optimised).graph.node}
    assert "DequantizeLinear" not in kinds
