"""Export a network to the served graph: ``python export/to_onnx.py CHECKPOINT -o FILE``.

CHECKPOINT is a ``.pt`` that training.train wrote, or an ``.onnx`` that this script wrote: every
artefact is a source of other sizes, precisions and storages of its weights.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

if __package__ in {None, ""}:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import onnx

from export.files import write_whole
from export.flags import PRECISIONS, parse_size
from export.graph import ATTENTION, trace
from export.storage import STORAGES, store
from export.verify import tell, verify
from models import checkpoint, source
from models.build import Recipe
from models.spec import ModelSpec

VERIFIED_FRAMES = 4
"""Synthetic frames that a fresh file is run on; export/verify.py takes a real clip."""


class ExportError(ValueError):
    """An export that was asked for and cannot be made."""


def export(
    checkpoint_path: Path,
    out: Path,
    size: tuple[int, int],
    *,
    output_stride: int | None = None,
    memory: int | None = None,
    precision: str = "fp32",
    weights: str = "fp32",
    attention: str = "fused",
    name: str | None = None,
    licence: str | None = None,
) -> ModelSpec:
    """Write ``out`` and return what it says of itself.

    Output stride and memory length may differ from training's: neither has weights of its own.
    Raises ExportError, SpecError or CheckpointError.
    """
    network, recipe, spec = source.load(checkpoint_path)
    wanted = reshape(recipe, output_stride, memory)
    if wanted != recipe:
        network = checkpoint.rebuild(network, wanted)
    if precision == "fp16" and weights != "fp32":
        raise ExportError("an fp16 graph holds its weights in fp16: leave --weights out")
    spec = replace(spec, name=name or spec.name, licence=licence or spec.licence)
    spec = source.describe(network, spec, size, precision)
    spec = replace(spec, weights="fp16" if precision == "fp16" else weights)
    model = trace(network, wanted, spec, attention)
    store(model, weights)
    onnx.checker.check_model(model)
    write_whole(out, model.SerializeToString())
    return spec


def reshape(recipe: Recipe, output_stride: int | None, memory: int | None) -> Recipe:
    """The recipe with another output stride or FIFO length."""
    if output_stride is not None:
        recipe = replace(recipe, output_stride=output_stride)
    if memory is not None:
        if recipe.options is None:
            raise ExportError(f"{recipe.name} has no memory: leave --memory out")
        recipe = replace(recipe, memory={**recipe.memory, "frames": memory})
    return recipe


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "export/to_onnx.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="a .pt or an .onnx of ours")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--size", type=parse_size, default=(352, 480), metavar="WIDTHxHEIGHT")
    parser.add_argument("--output-stride", type=int, choices=(8, 16, 32))
    parser.add_argument("--memory", type=int, metavar="T", help="frames that the FIFO keeps")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the graph")
    parser.add_argument("--weights", choices=STORAGES, default="fp32", help="as stored")
    parser.add_argument(
        "--attention",
        choices=tuple(ATTENTION),
        default="fused",
        help="fused: ONNX Runtime's own operator; portable: standard operators, for TensorRT",
    )
    parser.add_argument("--name", help="the model's name as clients see it")
    parser.add_argument("--licence", help="of the weights, where more than the data's holds")
    parser.add_argument(
        "--no-verify", action="store_true", help="leave out the check against PyTorch that follows"
    )
    given = parser.parse_args(arguments)
    try:
        spec = export(
            given.checkpoint,
            given.out,
            given.size,
            output_stride=given.output_stride,
            memory=given.memory,
            precision=given.precision,
            weights=given.weights,
            attention=given.attention,
            name=given.name,
            licence=given.licence,
        )
    except (ValueError, OSError) as error:
        print(f"to_onnx: {error}", file=sys.stderr)
        return 1
    megabytes = given.out.stat().st_size / 1e6
    print(
        f"{given.out}: {spec.name} {spec.width}x{spec.height}, T={spec.memory_frames}, "
        f"{spec.precision} graph, {spec.weights} weights, {megabytes:.1f} MB"
    )
    if given.no_verify:
        return 0
    return tell(verify(given.out, given.checkpoint, None, VERIFIED_FRAMES))


if __name__ == "__main__":
    sys.exit(main())
