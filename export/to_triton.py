"""Export a model for NVIDIA's Triton: ``python export/to_triton.py MODEL -o REPOSITORY``.

MODEL is a ``.pt`` checkpoint, an exported ``.onnx``, or a ``.plan`` that
``export/to_trt.py --triton`` built. The result is a folder in REPOSITORY with the model, its
configuration and a README that explains how to call it;
``tritonserver --model-repository REPOSITORY`` serves it.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

if __package__ in {None, ""}:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from export.files import write_whole
from export.flags import PRECISIONS, parse_size
from export.graph import ATTENTION, trace
from export.to_triton_config import ONNX, PLAN, Platform, TritonError, config, page
from export.to_trt_graph import columns
from models import source
from models.plan import PlanDescription, description_path
from models.spec import ModelSpec


@dataclass(frozen=True)
class TritonModel:
    """A model for Triton: the files of version 1 by name, and the largest batch they accept."""

    spec: ModelSpec
    platform: Platform
    files: dict[str, bytes]
    max_batch: int


def from_source(
    path: Path, precision: str | None, size: tuple[int, int] | None, attention: str, max_batch: int
) -> TritonModel:
    """Trace the network of a file again, with its weights in the graph's precision.

    ``size`` is (height, width). If ``precision`` or ``size`` is None, it is the file's own. Raises
    SpecError, CheckpointError or OSError if the file cannot be used.
    """
    network, recipe, spec = source.load(path)
    precision = precision or (spec.precision if spec.precision in PRECISIONS else "fp32")
    spec = source.describe(network, spec, size or (spec.height, spec.width), precision)
    spec = replace(spec, weights=precision)
    graph = columns(trace(network, recipe, spec, attention))
    return TritonModel(spec, ONNX, {ONNX.file: graph.SerializeToString()}, max_batch)


def from_plan(path: Path, max_batch: int | None) -> TritonModel:
    """Take a plan as it is.

    Raises TritonError if Triton cannot use the plan, PlanError or OSError if it cannot be read.
    """
    description = description_path(path)
    described = PlanDescription.from_json(description.read_text())
    most = described.key.batch.max
    if not described.key.columns:
        raise TritonError(f"{path} was not built for Triton; build it with to_trt.py --triton.")
    if not described.key.batch.min <= (max_batch or most) <= most or described.key.batch.min > 1:
        raise TritonError(
            f"{path} takes batches of {described.key.batch}; build it for 1 to --max-batch streams."
        )
    files = {PLAN.file: path.read_bytes(), f"{PLAN.file}.json": description.read_bytes()}
    return TritonModel(described.spec, PLAN, files, max_batch or most)


def write(model: TritonModel, repository: Path, name: str, sequences: int) -> Path:
    """Write the model's folder and return its path.

    The model file is written last, because Triton loads the model once it is there.
    """
    folder = repository / name
    spec, platform = model.spec, model.platform
    labels = "".join(f"{label.name}\n" for label in spec.classes)
    texts = {
        "labels.txt": labels,
        "config.pbtxt": config(spec, name, platform, model.max_batch, sequences),
        "README.md": page(spec, name, platform, model.max_batch),
    }
    for file, text in texts.items():
        write_whole(folder / file, text.encode())
    for file, content in reversed(model.files.items()):
        write_whole(folder / "1" / file, content)
    return folder


def make(given: argparse.Namespace) -> Path:
    """Write the requested model and return its folder.

    Raises ValueError if the request cannot be fulfilled, OSError if a file cannot be read or
    written.
    """
    if given.model.suffix != ".plan":
        most = given.max_batch or 4
        model = from_source(given.model, given.precision, given.size, given.attention, most)
    elif given.precision or given.size:
        raise TritonError("A plan has its precision and size; leave --precision and --size out.")
    else:
        model = from_plan(given.model, given.max_batch)
    named = replace(model.spec, name=given.name or model.spec.name)
    return write(model, given.out, named.name, given.sequences)


def positive(text: str) -> int:
    """Read a positive number. Raises argparse.ArgumentTypeError if it is not one."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"Give a positive number, not {text!r}.")
    return int(text)


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(
        "export/to_triton.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asked.add_argument("model", type=Path, help="a .pt, an exported .onnx or a .plan")
    asked.add_argument(
        "-o", "--out", type=Path, required=True, metavar="REPOSITORY", help="Triton's repository"
    )
    asked.add_argument("--name", help="name in Triton (default: the model's own)")
    asked.add_argument("--precision", choices=PRECISIONS, help="default: the model's own")
    asked.add_argument(
        "--size", type=parse_size, metavar="WIDTHxHEIGHT", help="default: the model's own"
    )
    asked.add_argument(
        "--attention", choices=tuple(ATTENTION), default="fused", help="as in export/to_onnx.py"
    )
    asked.add_argument(
        "--max-batch",
        type=positive,
        help="largest number of streams in one step (default: 4, or the plan's largest)",
    )
    asked.add_argument(
        "--sequences",
        type=positive,
        default=64,
        help="largest number of concurrent streams; others wait (default 64)",
    )
    return asked


def main(arguments: list[str] | None = None) -> int:
    try:
        folder = make(parser().parse_args(arguments))
    except (ValueError, OSError) as error:
        print(f"to_triton: {error}", file=sys.stderr)
        return 1
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
