"""Export a network to the served graph: ``python export/to_onnx.py CHECKPOINT -o FILE``.

CHECKPOINT is a ``.pt`` that training.train wrote or an ``.onnx`` that this script wrote: exported
files can be exported again in other sizes and precisions and with other types of stored weights.
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
from export.verify import report, verify
from models import checkpoint, source
from models.build import Recipe
from models.spec import ModelSpec

VERIFIED_FRAMES = 4
"""The number of synthetic frames on which a new file is verified; export/verify.py takes a clip."""


class ExportError(ValueError):
    """The requested export is impossible; the message says what to change."""


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
    """Export a network to ``out`` and return its spec.

    ``size`` is (height, width); ``memory`` is T, the length of the FIFO. It and the output stride
    may differ from training's, since neither has weights. ``precision`` is the type in which the
    graph computes, ``weights`` the type in which they are stored. Raises ExportError if the options
    contradict each other or the network, SpecError or CheckpointError if the checkpoint cannot be
    used, ValueError if float16 cannot hold a weight, OSError if a file cannot be read or written.
    """
    network, recipe, spec = source.load(checkpoint_path)
    wanted = reshape(recipe, output_stride, memory)
    if wanted != recipe:
        network = checkpoint.rebuild(network, wanted)
    if precision == "fp16" and weights != "fp32":
        raise ExportError("An fp16 graph stores its weights in fp16; leave --weights out.")
    spec = replace(spec, name=name or spec.name, licence=licence or spec.licence)
    spec = source.describe(network, spec, size, precision)
    spec = replace(spec, weights="fp16" if precision == "fp16" else weights)
    model = trace(network, wanted, spec, attention)
    store(model, weights)
    onnx.checker.check_model(model)
    write_whole(out, model.SerializeToString())
    return spec


def reshape(recipe: Recipe, output_stride: int | None, memory: int | None) -> Recipe:
    """Return the recipe with another output stride or FIFO length, unless they are None.

    Raises ExportError if ``memory`` is given for a network without memory.
    """
    if output_stride is not None:
        recipe = replace(recipe, output_stride=output_stride)
    if memory is not None:
        if recipe.options is None:
            raise ExportError(f"{recipe.name} has no memory; leave --memory out.")
        recipe = replace(recipe, memory={**recipe.memory, "frames": memory})
    return recipe


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "export/to_onnx.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="a .pt checkpoint or an exported .onnx")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the .onnx file to write")
    parser.add_argument(
        "--size",
        type=parse_size,
        default=(352, 480),
        metavar="WIDTHxHEIGHT",
        help="the size of the pictures (default 480x352)",
    )
    parser.add_argument(
        "--output-stride", type=int, choices=(8, 16, 32), help="default: the checkpoint's"
    )
    parser.add_argument(
        "--memory", type=int, metavar="T", help="frames in the FIFO (default: the checkpoint's)"
    )
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="fp32", help="type in which the graph computes"
    )
    parser.add_argument(
        "--weights", choices=STORAGES, default="fp32", help="type in which weights are stored"
    )
    parser.add_argument(
        "--attention",
        choices=tuple(ATTENTION),
        default="fused",
        help="fused: ONNX Runtime's own operator; portable: standard operators, for other runtimes",
    )
    parser.add_argument("--name", help="the model's name as clients see it")
    parser.add_argument("--licence", help="licence of the weights (default: the model's own)")
    parser.add_argument(
        "--no-verify", action="store_true", help="skip the comparison with PyTorch after the export"
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
    return report(verify(given.out, given.checkpoint, None, VERIFIED_FRAMES))


if __name__ == "__main__":
    sys.exit(main())
