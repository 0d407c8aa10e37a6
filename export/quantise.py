"""Quantise convolutions: ``python export/quantise.py MODEL.onnx --calibrate FOOTAGE -o OUT.onnx``.

MODEL is an exported file that computes in float32; FOOTAGE is a video or a folder of pictures like
those that will be served. Its frames run through the graph, with memory fed back, to measure which
values the tensors take. OUT.onnx has convolutions in int8, for ONNX Runtime on the CPU; like every
exported file it can be exported again.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

if __package__ in {None, ""}:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import onnx
from onnx import GraphProto

from export import qdq
from export.clips import Clip, read_clips
from export.files import write_whole
from export.ranges import measure
from export.storage import restore, store
from export.to_onnx import ExportError
from export.verify import checks, report
from models import described
from models.spec import ModelSpec
from server.errors import MastreamError

CLIPS = 12
"""The default number of clips to measure on."""

HELD_OUT = 2
"""The number of further clips, on which the result is verified."""


def quantise(source: Path, out: Path, clips: Sequence[Clip], kept: str | None = None) -> ModelSpec:
    """Quantise the convolutions of ``source``, write ``out`` and return its spec.

    ``kept`` is a regular expression: convolutions with such weight names stay in float32, as do
    the first convolutions, those that share a weight and those before a sensitive operator.
    Raises ExportError if nothing can be quantised, SpecError if ``source`` was not exported by
    mastream, OSError if a file cannot be read or written.
    """
    model = described.read(source)
    spec = described.read_spec(model)
    if spec.precision != "fp32":
        raise ExportError(
            f"{source} computes in {spec.precision}; export it with --precision fp32 first."
        )
    restore(model)
    rules = (qdq.first, qdq.last, qdq.shared)
    left = matching(model.graph, kept).union(*(rule(model.graph) for rule in rules))
    qdq.pool_first(model.graph, left)
    chosen = qdq.plan(model.graph, left)
    if not chosen.convolutions:
        raise ExportError("No convolution is left to quantise; give a narrower --keep.")
    qdq.rewrite(model, chosen, measure(model, spec, chosen.tensors, clips))
    store(model, "fp16")  # the other weights: half the bytes, converted when the file is loaded
    spec = replace(spec, precision="int8", weights="int8")
    described.describe(model, spec)
    onnx.checker.check_model(model)
    write_whole(out, model.SerializeToString())
    return spec


def matching(graph: GraphProto, pattern: str | None) -> set[str]:
    """Return the names of the convolutions whose weight's name matches ``pattern`` somewhere.

    Raises ExportError if the pattern is invalid or matches none.
    """
    if pattern is None:
        return set()
    try:
        looked_for = re.compile(pattern)
    except re.error as error:
        raise ExportError(
            f"--keep {pattern} must be a regular expression, which it is not ({error})."
        ) from error
    found = {n.name for n in graph.node if n.op_type == "Conv" and looked_for.search(n.input[1])}
    if not found:
        raise ExportError(f"--keep {pattern} matches no convolution's weight; give another one.")
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "export/quantise.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="an exported .onnx that computes in float32")
    parser.add_argument(
        "--calibrate",
        type=Path,
        required=True,
        metavar="FOOTAGE",
        help="a video or a folder of pictures",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="the .onnx file to write")
    parser.add_argument(
        "--clips", type=int, default=CLIPS, help="clips of four frames to measure on (default 12)"
    )
    parser.add_argument(
        "--keep",
        metavar="PATTERN",
        help="regular expression for the names of further weights that stay in float32",
    )
    given = parser.parse_args(arguments)
    try:
        spec = described.read_spec(described.read(given.model))
        clips = read_clips(given.calibrate, spec, given.clips + HELD_OUT)
        measured = clips[:-HELD_OUT] or clips
        quantise(given.model, given.out, measured, given.keep)
        held_out = [frame for clip in clips[-HELD_OUT:] for frame in clip]
        found = checks(given.out, given.model, held_out)
    except (ValueError, OSError, MastreamError) as error:
        print(f"quantise: {error}", file=sys.stderr)
        return 1
    megabytes = given.out.stat().st_size / 1e6
    print(f"{given.out}: measured on {len(measured)} clips, {megabytes:.1f} MB")
    return report(found)


if __name__ == "__main__":
    sys.exit(main())
