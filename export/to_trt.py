"""Build a TensorRT plan: ``python export/to_trt.py MODEL -o FOLDER`` on a machine with the GPU.

MODEL is a ``.pt`` that training.train wrote or an exported ``.onnx``. A Q/DQ graph in int8 or fp8
becomes an int8 or fp8 plan; the uint8 quantisation of a file for ONNX Runtime, such as the shipped
one, is removed. A plan runs only on the GPU and the TensorRT version that built it: both are part
of its name and, with the model's description, of PLAN.json next to it. The plan's path goes to
stdout, progress to stderr. An ``.onnx`` at its own size needs no torch.
Exit status: 0 built, 1 failed, 2 something is not installed or no GPU found, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

if __package__ in {None, ""}:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from export.files import write_whole
from export.flags import PRECISIONS, parse_size
from export.progress import reporter
from export.stopping import stopping
from export.to_trt_build import BuildFailed, BuildOptions, BuildStopped, Built, PlanFailed, build
from export.to_trt_graph import TrtGraph, columns, prepare
from models.plan import (
    BatchRange,
    Machine,
    PlanDescription,
    PlanError,
    PlanKey,
    description_path,
    digest,
)
from server.engines import tensor_rt
from server.engines.cuda import use_device
from server.errors import MastreamError, NotFound

NEEDED = 11
"""The major version of TensorRT whose API is used."""

TIMINGS = "timings.cache"
"""The default name of the file that keeps timings for later builds."""

STDIN = 0


class Missing(RuntimeError):
    """This machine lacks TensorRT or a GPU; the message says what to do."""


def load_tensorrt() -> Any:
    """Return the module ``tensorrt``. Raises Missing if it is not installed or too old."""
    try:
        tensorrt = tensor_rt.load_tensorrt()
    except NotFound as error:
        raise Missing(
            "TensorRT is not installed; run pip install 'mastream[gpu]' on a machine with an "
            f"NVIDIA GPU ({error.__cause__})."
        ) from error
    if int(tensorrt.__version__.split(".")[0]) < NEEDED:
        raise Missing(
            f"TensorRT {tensorrt.__version__} is too old; run pip install 'tensorrt>={NEEDED}'."
        )
    return tensorrt


def this_machine(trt: Any, device: int) -> Machine:
    """Select the GPU with CUDA's number ``device`` for builds; return it and TensorRT's version.

    Raises Missing if there is no such GPU.
    """
    try:
        use_device(device)
        return tensor_rt.this_machine(device, trt)
    except MastreamError as error:
        raise Missing(f"Build a plan on the GPU it is for: {error}") from error


def parse_batch(text: str) -> BatchRange:
    """Read ``MIN:OPT:MAX``. Raises argparse.ArgumentTypeError if it is not a batch range."""
    try:
        return BatchRange.parse(text)
    except PlanError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def describe(
    path: Path, graph: TrtGraph, here: Machine, options: BuildOptions, triton: bool
) -> PlanDescription:
    """Return the description that is written next to the plan."""
    key = PlanKey(
        machine=here,
        source=digest(path.read_bytes()),
        graph=digest(graph.content),
        precision=graph.precision,
        batch=options.batch,
        columns=triton,
        version_compatible=options.version_compatible,
    )
    return PlanDescription(graph.spec, key)


def plan_path(out: Path, described: PlanDescription) -> Path:
    """Return ``out`` itself if it names a plan, otherwise a path in it named after the key."""
    if out.suffix == ".plan":
        return out
    return out / described.key.file_name(described.spec.name)


def build_quietly(
    trt: Any, graph: TrtGraph, options: BuildOptions, cache: Path, pipe: int | None
) -> Built:
    """Call :func:`build` with its progress shown and its timings kept in ``cache``.

    Ctrl-C and the end of ``pipe`` stop it. Raises as :func:`build`, or OSError for ``cache``.
    """
    timings = cache.read_bytes() if cache.is_file() else b""
    with stopping(pipe) as stop, reporter() as shown:
        built = build(trt, graph.content, graph.inputs(), options, timings, shown.show, stop)
    write_whole(cache, built.timings)
    return built


def make(trt: Any, here: Machine, given: argparse.Namespace) -> int:
    """Build the requested plan, print its path, and verify it if requested.

    Returns the exit status. Raises BuildFailed if TensorRT cannot build the plan, PlanFailed if it
    cannot run it, ValueError if the model cannot be used, OSError if a file cannot be read or
    written.
    """
    graph = prepare(given.model, given.precision, given.size)
    if given.triton:
        graph = TrtGraph(columns(graph.model), graph.spec, graph.precision)
    options = BuildOptions(
        given.batch,
        None if given.workspace is None else given.workspace * 2**20,
        given.level,
        given.version_compatible,
        given.tf32,
    )
    described = describe(given.model, graph, here, options, given.triton)
    plan = plan_path(given.out, described)
    timings = given.timing_cache or plan.with_name(TIMINGS)
    pipe = STDIN if given.until_stdin_ends else None
    built = build_quietly(trt, graph, options, timings, pipe)
    write_whole(description_path(plan), described.to_json().encode())
    write_whole(plan, built.plan)
    print(plan)
    if given.verify is None:
        return 0
    return verified(trt, built, graph, given)


def verified(trt: Any, built: Built, graph: TrtGraph, given: argparse.Namespace) -> int:
    """Run the plan over a clip, print the comparison and return the exit status."""
    from export.to_trt_verify import verify_on  # noqa: PLC0415  imports torch
    from export.verify import report  # noqa: PLC0415

    return report([verify_on(trt, built.plan, graph, given.verify, given.frames)])


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(
        "export/to_trt.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asked.add_argument("model", type=Path, help="a .pt checkpoint or an exported .onnx")
    asked.add_argument(
        "-o", "--out", type=Path, required=True, help="a folder, or a file that ends in .plan"
    )
    asked.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="fp16",
        help="default fp16; a Q/DQ graph in int8 or fp8 keeps its own",
    )
    asked.add_argument(
        "--size", type=parse_size, metavar="WIDTHxHEIGHT", help="default: the model's own"
    )
    asked.add_argument(
        "--batch",
        type=parse_batch,
        default=BatchRange(1, 2, 4),
        metavar="MIN:OPT:MAX",
        help="streams in one step; tuned for OPT (default 1:2:4)",
    )
    asked.add_argument(
        "--workspace", type=int, metavar="MIB", help="limit of the build's scratch memory in MiB"
    )
    asked.add_argument(
        "--timing-cache", type=Path, metavar="FILE", help=f"default: {TIMINGS} next to the plan"
    )
    asked.add_argument(
        "--optimisation-level", "--optimization-level", dest="level", type=int, default=3,
        choices=range(6), help="0 builds fastest, 5 searches longest (default 3)",
    )  # fmt: skip
    asked.add_argument(
        "--version-compatible",
        action="store_true",
        help="let later TensorRT versions with the same major number run the plan",
    )
    asked.add_argument(
        "--tf32", action="store_true", help="round the factors of float32 products, for speed"
    )
    asked.add_argument(
        "--device", type=int, default=0, metavar="N", help="CUDA's number of the GPU (default 0)"
    )
    asked.add_argument(
        "--until-stdin-ends", action="store_true", help="stop when stdin, a pipe, is closed"
    )
    kind = asked.add_mutually_exclusive_group()
    kind.add_argument(
        "--triton", action="store_true", help="shape count as Triton needs it, for to_triton.py"
    )
    kind.add_argument(
        "--verify", type=Path, metavar="CLIP", help="compare the plan with ONNX Runtime on a clip"
    )
    asked.add_argument(
        "--frames", type=int, default=24, help="number of the clip's frames (default 24)"
    )
    return asked


def main(arguments: list[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    try:
        trt = load_tensorrt()
        return make(trt, this_machine(trt, given.device), given)
    except Missing as error:
        print(f"to_trt: {error}", file=sys.stderr)
        return 2
    except (BuildStopped, KeyboardInterrupt) as error:
        print(f"to_trt: {str(error) or 'Interrupted.'}", file=sys.stderr)
        return 130
    except (BuildFailed, PlanFailed, ValueError, OSError) as error:
        print(f"to_trt: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
