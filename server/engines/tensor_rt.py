"""Runs a TensorRT plan of the served graph with TensorRT itself.

A plan is valid only for the GPU and the TensorRT version that built it; ``PLAN.json`` next to it
names both and describes the model. Each batch size has its own execution context, recorded as a
CUDA graph; since only one runs at a time, all share one scratch memory.
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
"""The types of a graph's inputs and outputs: numpy's names and TensorRT's."""

REBUILD = "build it on this machine with python -m export.to_trt MODEL -o FOLDER."


class TensorRtEngine(DeviceEngine):
    """One plan on one device, which it closes in the end.

    ``max_batch`` is lowered to the plan's largest batch. Tests replace the module ``tensorrt``.
    Raises NotFound if the plan, its description or TensorRT is missing, BadInput if the plan does
    not fit this machine or is not of the served graph.
    """

    def __init__(
        self, plan: Path, device: Device, *, max_batch: int = 4, tensorrt: Any = None
    ) -> None:
        with closed_on_error(device):
            trt = tensorrt or load_tensorrt()
            described = read_description(plan)
            here = Machine(device.name, device.capability, trt.__version__)
            if reason := described.key.misfit(here):
                raise BadInput(f"The plan {plan} does not fit this machine: {reason}")
            self.provider = f"TensorRT {trt.__version__}"
            device.activate()
            loaded = _deserialise(trt, plan, foreign=described.key.version_compatible)
            program = TensorRtProgram(trt, loaded, described.spec, device)
            super().__init__(described.spec, device, program, min(max_batch, program.max_batch))

    @classmethod
    def from_settings(cls, settings: EngineSettings) -> Self:
        if settings.provider not in ("auto", "tensorrt"):
            raise NotFound(
                f"The engine tensor_rt does not run on {settings.provider}; use onnx_rt for that."
            )
        if settings.model is None:
            raise NotFound("Name the plan to serve (MASTREAM_ENGINE__MODEL).")
        return cls(settings.model, CudaDevice(settings.device), max_batch=settings.max_batch)


class TensorRtProgram(Program):
    """A deserialised plan. Raises BadInput if its tensors are not those of the served graph.

    It keeps its contexts alive: a recorded launch holds only the addresses of their memory.
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

        # The first run, in which TensorRT prepares for the shapes, cannot be recorded.
        launch()
        self._device.synchronise()
        return self._device.record(launch)

    def close(self) -> None:
        if self._contexts:
            with suppress(EngineFault):  # a lost device cannot run anything
                self._device.synchronise()
        self._contexts.clear()
        self._engine = None

    def _context(self, batch: int) -> Any:
        """Return an execution context for this batch size that uses the shared scratch memory."""
        strategy = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = self._engine.create_execution_context(strategy)
        if context is None:
            raise EngineFault("TensorRT could not make an execution context; its log says why.")
        profile = self._profile(batch)
        chosen = context.set_optimization_profile_async(profile, self._device.stream)
        _must(chosen, f"profile {profile}")
        self._device.synchronise()
        context.set_device_memory(self._scratch, self._scratch_bytes)
        self._contexts.append(context)
        return context

    def _profile(self, batch: int) -> int:
        """Return the plan's profile with the smallest maximum that covers this batch size."""
        fitting = [
            (largest, index)
            for index, (smallest, largest) in enumerate(self._ranges())
            if smallest <= batch <= largest
        ]
        if not fitting:
            raise BadInput(f"The plan has no profile for a batch of {batch}; {REBUILD}")
        return min(fitting)[1]

    def _ranges(self) -> list[tuple[int, int]]:
        """Return the smallest and the largest batch of each profile."""
        shapes = (
            self._engine.get_tensor_profile_shape("frame", index)
            for index in range(self._engine.num_optimization_profiles)
        )
        return [(least[0], most[0]) for least, _, most in shapes]


def load_tensorrt() -> Any:
    """Return the module, imported only here. Raises NotFound if it is not installed."""
    try:
        import tensorrt  # noqa: PLC0415  only needed for plans
    except ImportError as error:
        raise NotFound(f"TensorRT needs pip install 'mastream[gpu]' ({error}).") from error
    return tensorrt


def this_machine(ordinal: int = 0, tensorrt: Any = None) -> Machine:
    """Return the properties of this machine that a plan is bound to, for the GPU with CUDA's number
    ``ordinal``.

    Tests replace the module ``tensorrt``. Raises NotFound if TensorRT is not installed or there is
    no such GPU.
    """
    version = (tensorrt or load_tensorrt()).__version__
    return Machine(*describe_device(ordinal), version)


def read_description(plan: Path) -> PlanDescription:
    """Return the description of a plan, from the file next to it.

    Raises NotFound if one of the files is missing, BadInput if the description is not valid.
    """
    description = description_path(plan)
    for path in (plan, description):
        if not path.is_file():
            raise NotFound(f"There is no {path}; {REBUILD}")
    try:
        return PlanDescription.from_json(description.read_text())
    except PlanError as error:
        raise BadInput(f"{description}: {error}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{description} is not text; {REBUILD}") from error


def _deserialise(trt: Any, plan: Path, *, foreign: bool) -> Any:
    """Return the plan's engine.

    A ``foreign`` one may come from another version of TensorRT and contains the host code that runs
    it; that is allowed because this project built it.
    """
    runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
    runtime.engine_host_code_allowed = foreign
    engine = runtime.deserialize_cuda_engine(plan.read_bytes())
    if engine is None:
        raise BadInput(f"TensorRT cannot read {plan}, for the reason in its log; {REBUILD}")
    return engine


def _check_tensors(trt: Any, engine: Any, spec: ModelSpec) -> None:
    """Raise BadInput if the plan's inputs and outputs are not those that the spec implies."""
    wanted = _wanted(spec)
    found = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
    if missing := wanted.keys() ^ found:
        names = ", ".join(sorted(missing))
        raise BadInput(f"The graph is not one that can be served: {names} missing or superfluous.")
    for name, (shape, kind, is_input) in wanted.items():
        axes = tuple(engine.get_tensor_shape(name))[1:]
        mode = trt.TensorIOMode.INPUT if is_input else trt.TensorIOMode.OUTPUT
        its = (engine.get_tensor_dtype(name), engine.get_tensor_mode(name))
        if axes != shape or its != (getattr(trt.DataType, NAMES[kind]), mode):
            raise BadInput(
                f"The graph is not one that can be served: {name} is {axes} {its}, "
                f"not {(shape, kind)}."
            )


def _wanted(spec: ModelSpec) -> dict[str, tuple[tuple[int, ...], str, bool]]:
    """Return each of the graph's tensors with its shape for one stream, its type and whether it is
    an input."""
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
    """Raise EngineFault if TensorRT returned False, for which it logs the reason."""
    if not done:
        raise EngineFault(f"TensorRT refused {what}; its log says why.")
