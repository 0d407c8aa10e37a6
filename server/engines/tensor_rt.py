"""A TensorRT plan of the served graph, run by TensorRT itself.

A plan is good for the GPU and the TensorRT that built it; ``PLAN.json`` beside it says which they
are and what the model is. Each batch size has an execution context of its own, recorded as a CUDA
graph; as they never run at once, all share one scratch memory.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from models.plan import Machine, PlanDescription, PlanError, description_path
from models.spec import ModelSpec
from server.engines.buffers import Buffers
from server.engines.cuda import CudaDevice, Device, Launch, closed_on_error, describe_device
from server.engines.device_engine import DeviceEngine, Program
from server.engines.host_memory import memory_type, tensor_shapes
from server.errors import BadInput, EngineFault, NotFound
from server.settings import EngineSettings

NAMES = {"uint8": "UINT8", "int64": "INT64", "float16": "HALF", "float32": "FLOAT"}
"""numpy's names of the types at a graph's ports, and TensorRT's."""

REBUILD = "build it on this machine: python -m export.to_trt MODEL -o FOLDER"


class TensorRtEngine(DeviceEngine):
    """One plan on one device, which it closes.

    ``max_batch`` is lowered to what the plan was built for. ``tensorrt`` stands in for the
    module. Raises NotFound where the plan, its description or TensorRT is absent, BadInput where
    the plan does not fit this machine or is not of the served graph.
    """

    def __init__(
        self, plan: Path, device: Device, *, max_batch: int = 4, tensorrt: Any = None
    ) -> None:
        with closed_on_error(device):
            trt = tensorrt or load_tensorrt()
            described = read_description(plan)
            here = Machine(device.name, device.capability, trt.__version__)
            if reason := described.key.misfit(here):
                raise BadInput(f"{plan} does not fit this machine: {reason}")
            self.provider = f"TensorRT {trt.__version__}"
            device.activate()
            loaded = _deserialise(trt, plan, foreign=described.key.version_compatible)
            program = TensorRtProgram(trt, loaded, described.spec, device)
            super().__init__(described.spec, device, program, min(max_batch, program.max_batch))

    @classmethod
    def from_settings(cls, settings: EngineSettings) -> Self:
        if settings.provider not in ("auto", "tensorrt"):
            raise NotFound(f"tensor_rt does not run on {settings.provider}; take onnx_rt for that")
        if settings.model is None:
            raise NotFound("name the plan to serve (MASTREAM_ENGINE__MODEL)")
        return cls(settings.model, CudaDevice(settings.device), max_batch=settings.max_batch)


class TensorRtProgram(Program):
    """A deserialised plan. Raises BadInput where its tensors are not those of the served graph.

    It keeps its contexts: a recorded launch holds the addresses of their memory, not themselves.
    """

    def __init__(self, trt: Any, engine: Any, spec: ModelSpec, device: Device) -> None:
        _check_tensors(trt, engine, spec)
        self._trt = trt
        self._engine = engine
        self._device = device
        self._scratch_bytes = engine.device_memory_size_v2
        self._scratch = device.allocate(max(1, self._scratch_bytes))
        self._contexts: list[Any] = []
        self.max_batch = max(largest for _, largest in self._ranges())

    def prepare(self, buffers: Buffers, batch: int) -> Launch:
        context = self._context(batch)
        for port in buffers.inputs:
            _must(context.set_input_shape(port.name, (batch, *port.shape)), port.name)
        for port in (*buffers.inputs, *buffers.outputs):
            _must(context.set_tensor_address(port.name, port.pointer), port.name)
        stream = self._device.stream

        def launch() -> None:
            _must(context.execute_async_v3(stream), "execute_async_v3")

        # TensorRT settles what depends on the shapes in a first run, which cannot be recorded.
        launch()
        self._device.synchronise()
        return self._device.record(launch)

    def close(self) -> None:
        if self._contexts:
            with suppress(EngineFault):  # a device that is lost runs nothing any more
                self._device.synchronise()
        self._contexts.clear()
        self._engine = None

    def _context(self, batch: int) -> Any:
        """An execution context for this batch size, over the shared scratch."""
        strategy = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = self._engine.create_execution_context(strategy)
        if context is None:
            raise EngineFault("TensorRT could not make an execution context; its log says why")
        profile = self._profile(batch)
        chosen = context.set_optimization_profile_async(profile, self._device.stream)
        _must(chosen, f"profile {profile}")
        self._device.synchronise()
        context.set_device_memory(self._scratch, self._scratch_bytes)
        self._contexts.append(context)
        return context

    def _profile(self, batch: int) -> int:
        """The tightest of the plan's profiles that takes this batch size."""
        fitting = [
            (largest, index)
            for index, (smallest, largest) in enumerate(self._ranges())
            if smallest <= batch <= largest
        ]
        if not fitting:
            raise BadInput(f"the plan has no profile for a batch of {batch}; {REBUILD}")
        return min(fitting)[1]

    def _ranges(self) -> list[tuple[int, int]]:
        """The smallest and the largest batch of each profile."""
        shapes = (
            self._engine.get_tensor_profile_shape("frame", index)
            for index in range(self._engine.num_optimization_profiles)
        )
        return [(least[0], most[0]) for least, _, most in shapes]


def load_tensorrt() -> Any:
    """The module; the only place that imports it. Raises NotFound where it is not installed."""
    try:
        import tensorrt  # noqa: PLC0415  only who asks for it needs it
    except ImportError as error:
        raise NotFound(f"TensorRT needs pip install 'mastream[gpu]' ({error})") from error
    return tensorrt


def this_machine(ordinal: int = 0, tensorrt: Any = None) -> Machine:
    """What a plan for the GPU that CUDA numbers ``ordinal`` is bound to here. ``tensorrt`` stands
    in for the module.

    Raises NotFound where TensorRT is not installed or there is no such GPU.
    """
    version = (tensorrt or load_tensorrt()).__version__
    return Machine(*describe_device(ordinal), version)


def read_description(plan: Path) -> PlanDescription:
    """What a plan is and what it fits, from the file beside it.

    Raises NotFound where one of the files is absent, BadInput where the text is not of ours.
    """
    beside = description_path(plan)
    for path in (plan, beside):
        if not path.is_file():
            raise NotFound(f"there is no {path}; {REBUILD}")
    try:
        return PlanDescription.from_json(beside.read_text())
    except (PlanError, UnicodeDecodeError) as error:
        raise BadInput(f"{beside}: {error}; {REBUILD}") from error


def _deserialise(trt: Any, plan: Path, *, foreign: bool) -> Any:
    """The plan's engine; a ``foreign`` one may be of another version of TensorRT and brings the
    code that runs it: we built it, so that may run."""
    runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
    runtime.engine_host_code_allowed = foreign
    engine = runtime.deserialize_cuda_engine(plan.read_bytes())
    if engine is None:
        raise BadInput(f"TensorRT cannot read {plan}; its log says why. {REBUILD}")
    return engine


def _check_tensors(trt: Any, engine: Any, spec: ModelSpec) -> None:
    """Raises BadInput where the plan's inputs and outputs are not those that the spec implies."""
    wanted = _wanted(spec)
    found = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
    if missing := wanted.keys() ^ found:
        raise BadInput(f"not the served graph: {', '.join(sorted(missing))} missing or too many")
    for name, (shape, kind, is_input) in wanted.items():
        axes = tuple(engine.get_tensor_shape(name))[1:]
        mode = trt.TensorIOMode.INPUT if is_input else trt.TensorIOMode.OUTPUT
        its = (engine.get_tensor_dtype(name), engine.get_tensor_mode(name))
        if axes != shape or its != (getattr(trt.DataType, NAMES[kind]), mode):
            raise BadInput(f"not the served graph: {name} is {axes} {its}, not {(shape, kind)}")


def _wanted(spec: ModelSpec) -> dict[str, tuple[tuple[int, ...], str, bool]]:
    """Shape for one stream, type and whether it is an input, of each of the graph's tensors."""
    memory = dict(tensor_shapes(spec))
    kind = memory_type(spec).name
    return {
        "frame": ((spec.height, spec.width, 3), "uint8", True),
        "count": ((), "int64", True),
        "mask": ((spec.height, spec.width), "uint8", False),
        "count_out": ((), "int64", False),
        **{name: (shape, kind, True) for name, shape in memory.items()},
        **{f"{name}_out": (shape, kind, False) for name, shape in memory.items()},
    }


def _must(done: bool, what: str) -> None:
    """TensorRT answers False and writes the reason into its log."""
    if not done:
        raise EngineFault(f"TensorRT refused {what}; its log says why")
