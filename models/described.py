"""Read and write the metadata of an exported ONNX file. Needs onnx, not torch.

The metadata holds a ModelSpec under ``mastream`` and the network's recipe under
``mastream_recipe``.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import ModelProto

from models.spec import METADATA_KEY, ModelSpec, SpecError


def metadata(model: ModelProto) -> dict[str, str]:
    """Return the file's metadata by key."""
    return {entry.key: entry.value for entry in model.metadata_props}


def read(path: Path) -> ModelProto:
    """Parse an ONNX file. Raises OSError if it cannot be read, SpecError if it is not ONNX."""
    try:
        return onnx.load(path)
    except OSError:
        raise
    except Exception as error:
        raise SpecError(
            f"{path} is not an ONNX file; name one that export/to_onnx.py wrote ({error})."
        ) from error


def read_spec(model: ModelProto) -> ModelSpec:
    """Return the spec in the file's metadata. Raises SpecError if there is none."""
    held = metadata(model)
    if METADATA_KEY not in held:
        raise SpecError(
            f"This ONNX file has no {METADATA_KEY!r} metadata; export one with export/to_onnx.py."
        )
    return ModelSpec.from_json(held[METADATA_KEY])


def describe(model: ModelProto, spec: ModelSpec) -> None:
    """Replace the spec in the metadata of a file that has one, in place."""
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            entry.value = spec.to_json()
