"""What an exported ONNX file says of itself. Needs onnx and no torch.

A file of ours holds a ModelSpec under ``mastream`` and the network's recipe under
``mastream_recipe``.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import ModelProto

from models.spec import METADATA_KEY, ModelSpec, SpecError


def metadata(model: ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def read(path: Path) -> ModelProto:
    """Parse an ONNX file. Raises OSError or SpecError."""
    try:
        return onnx.load(path)
    except OSError:
        raise
    except Exception as error:
        raise SpecError(f"{path} is not an ONNX file: {error}") from error


def read_spec(model: ModelProto) -> ModelSpec:
    """The file's own description. Raises SpecError where it has none."""
    held = metadata(model)
    if METADATA_KEY not in held:
        raise SpecError("this ONNX file is not one of ours: it has no 'mastream' metadata")
    return ModelSpec.from_json(held[METADATA_KEY])


def describe(model: ModelProto, spec: ModelSpec) -> None:
    """Let a described file say this of itself, in place."""
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            entry.value = spec.to_json()
