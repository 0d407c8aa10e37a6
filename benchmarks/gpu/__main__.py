"""Measure frames per second on a GPU and compare them with what its hardware could reach.

    python -m benchmarks.gpu [--minutes 9] [--json gpu.json]
    python -m benchmarks.gpu --device cpu --tiny      # every row at reduced size, without a GPU

Measures each head with and without memory by batch size, at 960x720 and 640x640, output stride 8,
half precision; live streams at 30 frames/s; decoding included and excluded; and the kernels that
take the most time. A table is printed at the end. Rows are written as they are measured, so an
interrupted run keeps them in the JSON file.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

import torch

from benchmarks.gpu.report import Report
from benchmarks.gpu.scenes import Bench, Options
from benchmarks.gpu.streams import COUNTS
from models.build import HEADS

SIZES = ((720, 960), (640, 640))
BATCHES = (1, 2, 4, 8, 16)
TINY_SIZES = ((32, 48),)
TINY_BATCHES = (1, 2)


def options(given: Namespace) -> Options:
    """Return the options that the command line gives."""
    device = torch.device(given.device)
    half = device.type == "cuda"
    return Options(
        device=device,
        dtype=torch.float16 if half else torch.float32,
        heads=tuple(given.heads),
        sizes=tuple(given.size or (TINY_SIZES if given.tiny else SIZES)),
        batches=tuple(sorted(given.batches or (TINY_BATCHES if given.tiny else BATCHES))),
        seconds=0.02 if given.tiny else given.seconds,
        stream_seconds=0.2 if given.tiny else 2 * given.seconds,
        stream_counts=(1, 2) if given.tiny else COUNTS,
        deadline=time.monotonic() + 60 * given.minutes,
        tiny=given.tiny,
        artefacts=tuple(given.engine),
        only=given.only,
    )


def main(arguments: list[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        print("gpu: There is no CUDA device; --device cpu --tiny runs every row at reduced size.")
        return 1
    if given.device.startswith("cuda"):
        torch.backends.cudnn.benchmark = True
    report = Report(given.json)
    try:
        Bench(options(given), report).run()
    except KeyboardInterrupt:
        print("gpu: Interrupted; the results so far follow.")
    print("\n" + report.table())
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small pictures, very short runs")
    parser.add_argument("--minutes", type=float, default=9.0, help="start nothing new after this")
    parser.add_argument("--seconds", type=float, default=2.0, help="duration of each row")
    parser.add_argument("--json", type=Path, help="file to write rows to as they are measured")
    parser.add_argument("--only", default="", help="only scenes whose printed name contains this")
    parser.add_argument("--heads", nargs="+", default=list(HEADS), choices=list(HEADS))
    parser.add_argument("--size", nargs="+", type=_size, metavar="WIDTHxHEIGHT")
    parser.add_argument("--batches", nargs="+", type=int)
    parser.add_argument(
        "--engine",
        nargs="*",
        default=[],
        type=_engine,
        metavar="NAME=FILE",
        help="also measure the server's engine NAME on a model file of the first head and size",
    )
    return parser


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise ArgumentTypeError(f"{text!r} is not a size like 960x720")
    return int(height), int(width)


def _engine(text: str) -> tuple[str, Path]:
    name, equals, file = text.partition("=")
    if not equals:
        raise ArgumentTypeError(f"{text!r} is not an engine and its file, NAME=FILE")
    return name, Path(file)


if __name__ == "__main__":
    raise SystemExit(main())
