"""Check that an exported file computes what its network computes.

``python export/verify.py FILE --checkpoint CHECKPOINT --video CLIP`` runs a clip through PyTorch
and through the file, frame by frame with memory fed back. It then compares streams at different
fill levels in one batch with each stream alone, and memories whose empty slots hold NaN with clean
ones. The exit status is 1 if a difference exceeds the tolerance and 2 if a file cannot be used.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in {None, ""}:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from numpy.typing import NDArray

from export.comparing import Check, compare_batch, compare_clip, compare_poisoned, tolerance
from export.runners import Runner, TorchRunner
from models import artefact, checkpoint, described, source
from models.spec import ModelSpec
from server.frame import host_pixels
from server.sources.container import ContainerSource
from server.sources.synthetic import SyntheticSource


def verify(path: Path, original: Path | None, video: Path | None, count: int) -> list[Check]:
    """Run all checks of one file on ``count`` frames of ``video``, or synthetic ones if None.

    ``original`` is the file that it was exported from. Raises SpecError, CheckpointError or OSError
    if a file cannot be used, or the source's error for the video.
    """
    spec = described.read_spec(described.read(path))
    return checks(path, original, asyncio.run(read_frames(spec, video, count)))


def checks(path: Path, original: Path | None, frames: Sequence[NDArray[np.uint8]]) -> list[Check]:
    """Run all checks of one file on these frames, uint8 (H, W, 3).

    Raises as :func:`verify`.
    """
    network, recipe, spec = artefact.load(path)
    runner, own = Runner(path, spec), tolerance(spec.precision, spec.precision)
    found = [
        compare_clip(runner, TorchRunner(network), spec, frames, "its own weights in PyTorch", own)
    ]
    if original is not None:
        exact = TorchRunner(checkpoint.rebuild(source.load(original)[0], recipe))
        rounded = tolerance(spec.precision, spec.weights)
        found.append(compare_clip(runner, exact, spec, frames, original.name, rounded))
    found.append(compare_batch(runner, spec, frames))
    if spec.memory:
        found.append(compare_poisoned(runner, spec, frames))
    return found


async def read_frames(spec: ModelSpec, video: Path | None, count: int) -> list[NDArray[np.uint8]]:
    """Return the first ``count`` frames of the clip, or synthetic ones, at the model's size.

    They are uint8 RGB (H, W, 3).
    """
    footage = (
        ContainerSource(video, spec.height, spec.width)
        if video
        else SyntheticSource(spec.height, spec.width, frames=count)
    )
    frames = []
    async with footage:
        async for frame in footage:
            frames.append(host_pixels(frame.pixels))
            if len(frames) == count:
                break
    return frames


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "export/verify.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, help="the exported .onnx")
    parser.add_argument("--checkpoint", type=Path, help="the file that it was exported from")
    parser.add_argument("--video", type=Path, help="a clip (default: synthetic frames)")
    parser.add_argument("--frames", type=int, default=24, help="number of frames (default 24)")
    given = parser.parse_args(arguments)
    try:
        checks = verify(given.file, given.checkpoint, given.video, given.frames)
    except Exception as error:  # libraries raise many kinds of error for a broken file
        print(f"verify: {error}", file=sys.stderr)
        return 2
    return report(checks)


def report(checks: Sequence[Check]) -> int:
    """Print every check and return the exit status: 0 if all passed, otherwise 1."""
    for check in checks:
        print(f"{'ok  ' if check.held else 'FAIL'} {check.name}: {check.detail}")
    return 0 if all(check.held for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
