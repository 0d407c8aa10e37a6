"""Build a TensorRT plan: ``python export/to_trt.py MODEL -o FOLDER`` on a machine with the GPU.

MODEL is a ``.pt`` that training.train wrote or an ``.onnx`` of ours. A Q/DQ graph in int8 or fp8
becomes such a plan; the uint8 levels of one for ONNX Runtime, such as the shipped one, are dropped.
A plan is good for the GPU and the TensorRT that built it: both are in its name and, with what the
model is, in PLAN.json beside it. The plan's path goes to stdout, progress to stderr. An ``.onnx``
at its own size needs no torch.
Exit status: 0 built, 1 failed, 2 something is missing here, 130 interrupted.
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
"""The major version of TensorRT whose API this is."""

TIMINGS = "timings.cache"

STDIN = 0


class Missing(RuntimeError):
    """What this machine lacks; the message says what to install."""


def load_tensorrt() -> Any:
    """The module. Raises Missing."""
    try:
        tensorrt = tensor_rt.load_tensorrt()
    except NotFound as error:
        raise Missing(
            "TensorRT is not installed: pip install 'mastream[gpu]' on a machine with an "
            f"NVIDIA GPU ({error.__cause__})"
        ) from error
    if int(tensorrt.__version__.split(".")[0]) < NEEDED:
        raise Missing(
            f"TensorRT {tensorrt.__version__} is too old: pip install 'tensorrt>={NEEDED}'"
        )
    return tensorrt


def this_machine(trt: Any, device: int) -> Machine:
    """The GPU that CUDA numbers ``device``, which TensorRT builds on from now on, and TensorRT's
    version. Raises Missing."""
    try:
        use_device(device)
        return tensor_rt.this_machine(device, trt)
    except MastreamError as error:
        raise Missing(f"a plan is built on the GPU it is for: {error}") from error


def parse_batch(text: str) -> BatchRange:
    """``1:2:4``. Raises argparse.ArgumentTypeError."""
    try:
        return BatchRange.parse(text)
    except PlanError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def describe(
    path: Path, graph: TrtGraph, here: Machine, options: BuildOptions, triton: bool
) -> PlanDescription:
    """What will lie beside the plan."""
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
    """``out`` itself where it names a plan; else a file in it whose name tells the key."""
    if out.suffix == ".plan":
        return out
    return out / described.key.file_name(described.spec.name)


def build_quietly(
    trt: Any, graph: TrtGraph, options: BuildOptions, cache: Path, pipe: int | None
) -> Built:
    """:func:`build` with its progress shown, its timings kept in ``cache``; stopped by Ctrl-C and
    at the end of ``pipe``."""
    timings = cache.read_bytes() if cache.is_file() else b""
    with stopping(pipe) as stop, reporter() as shown:
        built = build(trt, graph.content, graph.inputs(), options, timings, shown.show, stop)
    write_whole(cache, built.timings)
    return built


def make(trt: Any, here: Machine, given: argparse.Namespace) -> int:
    """Build the plan that was asked for, say where it lies, and verify it where asked.

    Raises BuildFailed, PlanFailed, OSError or a ValueError.
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
    """The exit status of a plan that ran over a clip."""
    from export.to_trt_verify import verify_on  # noqa: PLC0415  with torch, as little else here
    from export.verify import tell  # noqa: PLC0415

    return tell([verify_on(trt, built.plan, graph, given.verify, given.frames)])


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(
        "export/to_trt.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asked.add_argument("model", type=Path, help="a .pt or an .onnx of ours")
    asked.add_argument(
        "-o", "--out", type=Path, required=True, help="a folder, or a file that ends in .plan"
    )
    asked.add_argument(
        "--precision", choices=PRECISIONS, default="fp16", help="a graph in int8 or fp8 keeps it"
    )
    asked.add_argument(
        "--size", type=parse_size, metavar="WIDTHxHEIGHT", help="the model's own where left out"
    )
    asked.add_argument(
        "--batch",
        type=parse_batch,
        default=BatchRange(1, 2, 4),
        metavar="MIN:OPT:MAX",
        help="streams in one step; tuned for OPT (default 1:2:4)",
    )
    asked.add_argument("--workspace", type=int, metavar="MIB", help="scratch memory of a build")
    asked.add_argument(
        "--timing-cache", type=Path, metavar="FILE", help=f"default: {TIMINGS} beside the plan"
    )
    asked.add_argument(
        "--optimisation-level", "--optimization-level", dest="level", type=int, default=3,
        choices=range(6), help="0 builds at once, 5 searches longest (default 3)",
    )  # fmt: skip
    asked.add_argument(
        "--version-compatible", action="store_true", help="later TensorRTs of this major run it"
    )
    asked.add_argument("--tf32", action="store_true", help="round float32 products: faster")
    asked.add_argument(
        "--device", type=int, default=0, metavar="N", help="CUDA's number of the GPU (default 0)"
    )
    asked.add_argument(
        "--until-stdin-ends", action="store_true", help="stop once whoever holds its pipe has gone"
    )
    kind = asked.add_mutually_exclusive_group()
    kind.add_argument(
        "--triton", action="store_true", help="count as Triton keeps it, for export/to_triton.py"
    )
    kind.add_argument(
        "--verify", type=Path, metavar="CLIP", help="run it against ONNX Runtime over a clip"
    )
    asked.add_argument("--frames", type=int, default=24, help="of the clip (default 24)")
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
        print(f"to_trt: {error or 'interrupted'}", file=sys.stderr)
        return 130
    except (BuildFailed, PlanFailed, ValueError, OSError) as error:
        print(f"to_trt: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
