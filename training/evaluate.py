"""Evaluate a checkpoint or an exported file on a split of a dataset.

``python -m training.evaluate --data DIR --split test --model FILE`` runs every clip in order, its
memory empty where a clip begins, once for each mode of memory: ``with``, ``off``, ``reset`` before
each frame, or holding only the frame ``itself``. It prints dataset-level mIoU (eq. 6) and each
class's IoU, the mean of every image's own mIoU, accuracy, video consistency (VC8, VC16) on dense
clips, and the judge's statistic (eq. 4) where PyTorch runs the network.
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
    """Count every mode's answers; keep the ``kept`` frames that memory helped most, and hurt."""
    tallies = {mode: Tally.empty(classes) for mode in modes}
    extremes = Extremes()
    for shot in shots:
        tallies = {mode: add(tally, shot, mode) for mode, tally in tallies.items()}
        if kept:
            extremes = extremes.with_one_more(compare(shot), kept)
    return tallies, extremes


def choose_modes(asked: Sequence[Mode] | None, stepper: Stepper, compared: bool) -> list[Mode]:
    """The modes to run: by default with memory and with memory off, where there is any.

    Raises DataError where the model or ``compared``, a wish for pictures, does not allow them.
    """
    modes = list(asked or ([Mode.WITH, Mode.OFF] if stepper.frames else [Mode.OFF]))
    if not stepper.frames and modes != [Mode.OFF]:
        raise DataError(f"{stepper.name} has no memory: --memory off is all it can do")
    if compared and not {Mode.WITH, Mode.OFF} <= set(modes):
        raise DataError("pictures compare --memory with,off: ask for both")
    return modes


def check_classes(known: Sequence[ClassLabel], dataset: Dataset) -> None:
    """Raises DataError where a model's classes are not the dataset's."""
    if [c.name for c in known] != [c.name for c in dataset.classes]:
        raise DataError(
            f"the model knows {len(known)} classes, {known[0].name} and so on; {dataset.name} has "
            f"{len(dataset.classes)}, {dataset.classes[0].name} and so on: give another --dataset"
        )


def carry_out(given: argparse.Namespace) -> None:
    """Evaluate, then publish. Raises ValueError, OSError or MastreamError, in one sentence."""
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
        print("\n".join(lines) or "no pictures: memory made no frame better or worse")


def main(arguments: list[str] | None = None) -> int:
    try:
        carry_out(parse(arguments))
    except (ValueError, OSError, MastreamError) as error:
        print(f"training.evaluate: {error}", file=sys.stderr)
        return 1
    return 0


def publish(report: Report, path: Path | None) -> None:
    """The table on the screen, and the same as JSON in a file."""
    Console().print(table(report))
    for reason in report.left_out:
        print(f"left out: {reason}")
    if path:
        path.write_text(json.dumps(report.to_dict(), indent=1) + "\n")


def shown(shots: Iterator[Shot], frames: int) -> Iterator[Shot]:
    """With a bar on a terminal."""
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
    parser.add_argument("--model", type=Path, required=True, help="a .pt or an .onnx of ours")
    parser.add_argument(
        "--memory", type=_modes, metavar="MODE,...", help=f"of {', '.join(Mode)}; default with,off"
    )
    parser.add_argument(
        "--runtime", choices=RUNTIMES, help="default: onnx for an .onnx, torch for a .pt"
    )
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("H", "W"), help="in PyTorch; default the model's own"
    )
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="draw frames there")
    parser.add_argument(
        "--frames", type=int, default=3, help="how many that memory helped most, and hurt most"
    )
    parser.add_argument(
        "--no-image", action="store_true", help="draw labels only, none of the dataset's pictures"
    )
    return parser.parse_args(arguments)


def _modes(text: str) -> list[Mode]:
    try:
        return [Mode(word) for word in dict.fromkeys(text.split(","))]
    except ValueError as error:
        choices = ", ".join(Mode)
        raise argparse.ArgumentTypeError(f"{text}: the modes are {choices}") from error


if __name__ == "__main__":
    sys.exit(main())
