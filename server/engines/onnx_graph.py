"""The part shared by all engines on ONNX Runtime: finding the artefact, reading its spec and
checking its graph against the spec."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import onnxruntime as ort

from models.spec import METADATA_KEY, ModelSpec, SpecError
from server.engines.host_memory import tensor_shapes
from server.errors import BadInput, NotFound

CPU = "CPUExecutionProvider"
ERRORS_ONLY = 3


def shipped_model() -> Path:
    """Return the artefact in models/zoo. Raises NotFound unless there is exactly one."""
    found = sorted(Path(str(files("models") / "zoo")).glob("*.onnx"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise NotFound(f"Name the model to serve (MASTREAM_ENGINE__MODEL); shipped here: {names}.")
    return found[0]


def read_spec(model: Path) -> ModelSpec:
    """Return the spec in a model file, read without optimising its graph.

    Raises NotFound if the file is missing, BadInput if it is not ONNX or has no valid spec.
    """
    if not model.is_file():
        raise NotFound(f"There is no model file {model}; check the path.")
    plain = silent_options()
    plain.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    described = open_session(model, plain).get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if described is None:
        raise BadInput(
            f"The model {model} has no {METADATA_KEY!r} metadata: export it with export/to_onnx.py."
        )
    try:
        return ModelSpec.from_json(described)
    except SpecError as error:
        raise BadInput(f"The model {model} has no valid metadata: {error}") from error


def open_session(
    model: Path, options: ort.SessionOptions, providers: Sequence[Any] = (CPU,)
) -> Any:
    """Return a session on the first of these providers; ONNX Runtime may not choose another.

    Raises BadInput if the file is not a graph that it can run.
    """
    try:
        return ort.InferenceSession(
            model, options, providers=list(providers), enable_fallback=False
        )
    except Exception as error:
        raise BadInput(
            f"The file {model} is not a graph that ONNX Runtime can run: {error}"
        ) from error


def silent_options() -> ort.SessionOptions:
    """Return options with which ONNX Runtime logs only errors."""
    options = ort.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    return options


def check_graph(spec: ModelSpec, session: Any) -> None:
    """Raise BadInput if the graph does not match the spec."""
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


def _check_nodes(nodes: Any, wanted: dict[str, tuple[tuple[int, ...], str]]) -> None:
    found = {node.name: (tuple(node.shape[1:]), node.type) for node in nodes}
    if missing := wanted.keys() ^ found.keys():
        names = ", ".join(sorted(missing))
        raise BadInput(f"The graph is not one that can be served: {names} missing or superfluous.")
    for name, (shape, kind) in wanted.items():
        if not _fits(found[name], shape, kind):
            raise BadInput(
                f"The graph is not one that can be served: {name} is {found[name]}, "
                f"not {(shape, kind)}."
            )


def _fits(found: tuple[tuple[Any, ...], str], shape: tuple[int, ...], kind: str) -> bool:
    """Return whether a node has this type and per-stream shape; a named axis fits any number."""
    axes, found_kind = found
    fits = (isinstance(a, str | None) or a == n for a, n in zip(axes, shape, strict=False))
    return found_kind == kind and len(axes) == len(shape) and all(fits)
