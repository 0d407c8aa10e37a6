"""Evaluate a checkpoint or an exported file on a split of a dataset.

``python -m training.evaluate --data DIR --split test --model FILE`` runs every clip in order,
starting each with an empty memory, once for each mode of memory: ``with``, ``off``, ``reset``
before each frame, or filled with the frame ``itself``. It prints dataset-level mIoU (eq. 6), the
IoU of each class, the mean of the images' own mIoU, accuracy, video consistency (VC8, VC16) on
dense clips and, if PyTorch runs the network, the judge's statistic (eq. 4).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from models.spec import ClassLabel
from server.errors import MastreamError
from training.data.datasets import FINDERS, SPLITS, Dataset, open_dataset
from training.data.labels import DataError
from training.scoring import pictures
from training.scoring.changes import Extremes, compare
from training.scoring.passes import Mode, Shot, run
from training.scoring.report import Report, summarise, table
from training.scoring.steppers import RUNTIMES, Stepper, open_model
from training.scoring.tally import Tally, add


def evaluate(
    shots: Iterable[Shot], modes: Sequence[Mode], classes: int, kept: int = 0
) -> tuple[dict[Mode, Tally], Extremes]:
    """Tally the masks of every mode.

    Also return the ``kept`` frames that memory helped most and the ``kept`` that it hurt most.
    """
    tallies = {mode: Tally.empty(classes) for mode in modes}
    extremes = Extremes()
    for shot in shots:
        tallies = {mode: add(tally, shot, mode) for mode, tally in tallies.items()}
        if kept:
            extremes = extremes.with_one_more(compare(shot), kept)
    return tallies, extremes


def choose_modes(asked: Sequence[Mode] | None, stepper: Stepper, compared: bool) -> list[Mode]:
    """Return the modes to run: by default with memory, if the model has one, and with memory off.

    Raises DataError if the model has no memory for them, or if ``compared``, a request for
    pictures, needs other modes.
    """
    modes = list(asked or ([Mode.WITH, Mode.OFF] if stepper.frames else [Mode.OFF]))
    if not stepper.frames and modes != [Mode.OFF]:
        raise DataError(f"{stepper.name} has no memory; give it --memory off.")
    if compared and not {Mode.WITH, Mode.OFF} <= set(modes):
        raise DataError("Pictures compare the modes with and off; give --memory with,off.")
    return modes


def check_classes(known: Sequence[ClassLabel], dataset: Dataset) -> None:
    """Raise DataError if a model's classes are not the dataset's."""
    if [c.name for c in known] != [c.name for c in dataset.classes]:
        raise DataError(
            f"The model has {len(known)} classes, {known[0].name} and so on; {dataset.name} has "
            f"{len(dataset.classes)}, {dataset.classes[0].name} and so on: give another --dataset."
        )


def carry_out(given: argparse.Namespace) -> None:
    """Evaluate the requested model and publish the scores.

    Raises ValueError, OSError or MastreamError, with one sentence, if that is impossible.
    """
    dataset = open_dataset(given.dataset, given.data)
    clips = dataset.clips(given.split)
    size = (given.size[0], given.size[1]) if given.size else None
    stepper, classes = open_model(given.model, size, given.runtime, given.threads)
    check_classes(classes, dataset)
    modes = choose_modes(given.memory, stepper, given.pictures is not None)
    shots = shown(run(stepper, clips, modes), sum(map(len, clips)))
    kept = given.frames if given.pictures else 0
    tallies, extremes = evaluate(shots, modes, len(classes), kept)
    data = f"{dataset.name} {given.split}"
    publish(summarise(stepper, data, clips, classes, tallies), given.json)
    if given.pictures:
        lines = pictures.save(extremes, given.pictures, classes, not given.no_image)
        print("\n".join(lines) or "No pictures: memory made no frame better or worse.")


def main(arguments: list[str] | None = None) -> int:
    try:
        carry_out(parse(arguments))
    except (ValueError, OSError, MastreamError) as error:
        print(f"training.evaluate: {error}", file=sys.stderr)
        return 1
    return 0


def publish(report: Report, path: Path | None) -> None:
    """Print the scores as a table and, if ``path`` is given, write them there as JSON."""
    Console().print(table(report))
    for reason in report.left_out:
        print(f"left out: {reason}")
    if path:
        path.write_text(json.dumps(report.to_dict(), indent=1) + "\n")


def shown(shots: Iterator[Shot], frames: int) -> Iterator[Shot]:
    """Yield the shots, with a progress bar if stderr is a terminal."""
    yield from track(shots, "evaluating", total=frames, disable=not sys.stderr.isatty())


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m training.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="the dataset's folder")
    parser.add_argument("--dataset", default="camvid", choices=tuple(FINDERS))
    parser.add_argument("--split", default="test", choices=SPLITS)
    parser.add_argument(
        "--model", type=Path, required=True, help="a .pt checkpoint or an exported .onnx"
    )
    parser.add_argument(
        "--memory",
        type=_modes,
        metavar="MODE,...",
        help=f"some of {', '.join(Mode)} (default with,off)",
    )
    parser.add_argument(
        "--runtime", choices=RUNTIMES, help="default: onnx for an .onnx, torch for a .pt"
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="size in pixels, for PyTorch only (default: the model's own)",
    )
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--json", type=Path, help="also write the scores to this file")
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="draw the frames that memory changed most"
    )
    parser.add_argument(
        "--frames",
        type=int,
        default=3,
        help="number of pictures of frames that memory helped, and of those it hurt (default 3)",
    )
    parser.add_argument(
        "--no-image", action="store_true", help="draw only labels, not the dataset's pictures"
    )
    return parser.parse_args(arguments)


def _modes(text: str) -> list[Mode]:
    try:
        return [Mode(word) for word in dict.fromkeys(text.split(","))]
    except ValueError as error:
        choices = ", ".join(Mode)
        raise argparse.ArgumentTypeError(f"Choose from {choices}, not {text!r}.") from error


if __name__ == "__main__":
    sys.exit(main())
