"""The served graph (ONNX) run by ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime as ort
from numpy.typing import DTypeLike, NDArray

from models.spec import METADATA_KEY, ModelSpec, SpecError
from server.engines import host_memory
from server.engines.base import Engine, SavedMemory, check_batch
from server.engines.host_memory import HostMemory, tensor_shapes
from server.errors import BadInput, EngineDead, EngineFault, NotFound
from server.frame import AnyPixels, Labels, host_pixels
from server.settings import EngineSettings

PROVIDER = "CPUExecutionProvider"
MEMORY_TYPES: dict[str, DTypeLike] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}
ERRORS_ONLY = 3


class OnnxEngine(Engine):
    """One model in one InferenceSession. A step that has begun cannot be interrupted.

    ``model`` is a file that holds the served graph and, under the metadata key ``mastream``,
    its ModelSpec. ``threads`` compute, all cores where None. Every batch size from 1 to
    ``max_batch`` is warmed up when it is made.

    Raises NotFound when the file is absent, BadInput when it is not ONNX, not described or
    not the served graph, EngineFault when the warm-up fails.
    """

    provider = PROVIDER

    def __init__(self, model: Path, *, max_batch: int = 4, threads: int | None = None) -> None:
        self.spec = read_spec(model)
        self.max_batch = max_batch
        self._session = _open(model, _options(self.spec, threads))
        self._dtype = _check_graph(self.spec, self._session)
        self._names = [name for name, _ in tensor_shapes(self.spec)]
        self._outputs = ["mask", "count_out", *(f"{name}_out" for name in self._names)]
        self._blank = host_memory.blank(self.spec, self._dtype)
        self._warm_up()

    @classmethod
    def from_settings(cls, settings: EngineSettings) -> Self:
        model = settings.model or shipped_model()
        return cls(model, max_batch=settings.max_batch, threads=settings.threads)

    def blank(self) -> HostMemory:
        return self._blank

    def step(
        self, frames: Sequence[AnyPixels], memories: Sequence[HostMemory]
    ) -> tuple[list[Labels], list[HostMemory]]:
        check_batch(self.spec, frames, memories)
        if self._session is None:
            raise EngineDead(f"the engine of {self.spec.name} is closed")
        try:
            results = self._session.run(self._outputs, self._gather(frames, memories))
        except Exception as error:
            raise EngineFault(f"a step of {self.spec.name} failed: {error}") from error
        return _scatter(*results)

    def filled(self, memory: HostMemory) -> int:
        return memory.count

    def save(self, memory: HostMemory) -> SavedMemory:
        return host_memory.save(self.spec, memory)

    def restore(self, saved: SavedMemory) -> HostMemory:
        return host_memory.restore(self.spec, self._dtype, saved)

    def close(self) -> None:
        self._session = None

    def _gather(
        self, frames: Sequence[AnyPixels], memories: Sequence[HostMemory]
    ) -> dict[str, NDArray[Any]]:
        tensors = zip(*(memory.tensors for memory in memories), strict=True)
        return {
            "frame": _batched([host_pixels(frame) for frame in frames]),
            "count": np.array([memory.count for memory in memories], np.int64),
            **{name: _batched(held) for name, held in zip(self._names, tensors, strict=True)},
        }

    def _warm_up(self) -> None:
        frame = np.zeros((self.spec.height, self.spec.width, 3), np.uint8)
        for batch in range(1, self.max_batch + 1):
            self.step([frame] * batch, [self._blank] * batch)


def shipped_model() -> Path:
    """The artefact in models/zoo. Raises NotFound unless there is exactly one."""
    found = sorted(Path(str(files("models") / "zoo")).glob("*.onnx"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise NotFound(f"name the model to serve (MASTREAM_ENGINE__MODEL); shipped here: {names}")
    return found[0]


def read_spec(model: Path) -> ModelSpec:
    """What the file says of itself, read without optimising its graph.

    Raises NotFound when it is absent, BadInput when it is not ONNX or not described.
    """
    if not model.is_file():
        raise NotFound(f"there is no model file {model}")
    plain = _silent_options()
    plain.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    described = _open(model, plain).get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if described is None:
        raise BadInput(
            f"{model} has no {METADATA_KEY!r} metadata: export it with export/to_onnx.py"
        )
    try:
        return ModelSpec.from_json(described)
    except SpecError as error:
        raise BadInput(f"{model}: {error}") from error


def _open(model: Path, options: ort.SessionOptions) -> Any:
    try:
        return ort.InferenceSession(model, options, providers=[PROVIDER])
    except Exception as error:
        raise BadInput(f"{model} is not a graph that ONNX Runtime can run: {error}") from error


def _options(spec: ModelSpec, threads: int | None) -> ort.SessionOptions:
    options = _silent_options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = True
    # Compute threads that spin between two steps take the cores from the decoders.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if spec.weights == "int8":
        # Folds the weights back to float32 at load; else they are unpacked in every step.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    return options


def _silent_options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    return options


def _check_graph(spec: ModelSpec, session: Any) -> DTypeLike:
    """The memory's type. Raises BadInput where graph and description disagree."""
    shapes = dict(tensor_shapes(spec))
    memory_type = "tensor(float16)" if spec.precision == "fp16" else "tensor(float)"
    memory = {name: (shape, memory_type) for name, shape in shapes.items()}
    picture = (spec.height, spec.width)
    _check_nodes(
        session.get_inputs(),
        {"frame": ((*picture, 3), "tensor(uint8)"), "count": ((), "tensor(int64)"), **memory},
    )
    _check_nodes(
        session.get_outputs(),
        {
            "mask": (picture, "tensor(uint8)"),
            "count_out": ((), "tensor(int64)"),
            **{f"{name}_out": wanted for name, wanted in memory.items()},
        },
    )
    return MEMORY_TYPES[memory_type]


def _check_nodes(nodes: Any, wanted: dict[str, tuple[tuple[int, ...], str]]) -> None:
    found = {node.name: (tuple(node.shape[1:]), node.type) for node in nodes}
    if missing := wanted.keys() ^ found.keys():
        raise BadInput(f"not the served graph: {', '.join(sorted(missing))} missing or too many")
    for name, (shape, kind) in wanted.items():
        if not _fits(found[name], shape, kind):
            raise BadInput(f"not the served graph: {name} is {found[name]}, not {(shape, kind)}")


def _fits(found: tuple[tuple[Any, ...], str], shape: tuple[int, ...], kind: str) -> bool:
    """Whether a node has this type and per-stream shape; a named axis fits any number."""
    axes, found_kind = found
    fits = (isinstance(a, str | None) or a == n for a, n in zip(axes, shape, strict=False))
    return found_kind == kind and len(axes) == len(shape) and all(fits)


def _batched(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """(B, ...); for one stream a view, so that nothing is copied."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def _scatter(
    masks: NDArray[Any], counts: NDArray[Any], *tensors: NDArray[Any]
) -> tuple[list[Labels], list[HostMemory]]:
    """Each stream's part, its own copy so that no stream keeps the whole batch alive."""
    labels = [_part(masks, index) for index in range(len(masks))]
    memories = [
        HostMemory(int(count), tuple(_part(tensor, index) for tensor in tensors))
        for index, count in enumerate(counts)
    ]
    return labels, memories


def _part(batched: NDArray[Any], index: int) -> NDArray[Any]:
    part: NDArray[Any] = batched[index]
    return part if len(batched) == 1 else part.copy()
