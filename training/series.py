"""Run the experiments behind the README's tables, which measure what memory changes.

``python -m training.series --data CAMVID --start CHECKPOINT --out RUNS`` trains every row of
training/experiments/rows.py with every seed and writes one JSON file per run into RUNS, which
``training.tables`` reads. A run whose file exists is skipped, so a killed series continues where it
stopped, and two processes with different ``--only`` can share the work.

By default, which suits a CPU, all runs share one frozen trunk, that of CHECKPOINT (a ``.pt`` or an
exported ``.onnx``). Its maps of every augmented picture are computed once (experiments/memo.py);
head and memory learn on them. ``--whole`` also trains the trunk, from ImageNet weights (CHECKPOINT
is a ``.safetensors``); use it on a GPU.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from export.files import write_whole
from models import checkpoint
from models.build import Recipe
from models.segmenter import Segmenter
from server.errors import MastreamError
from training import evaluate
from training.data.datasets import DataError, Dataset, open_dataset
from training.experiments import frozen
from training.experiments.memo import memoise
from training.experiments.rows import EXPERIMENTS, Experiment
from training.experiments.runs import Memory, Run, Score, read_run
from training.learning import beginning, running
from training.learning.learner import Learner
from training.scoring.passes import Mode, run
from training.scoring.report import Score as Scored
from training.scoring.report import score
from training.scoring.steppers import NetworkStepper
from training.settings import TrainSettings, recipe_settings

SPLITS = ("test", "val")
SETTING = {
    False: "trunk trained as a per-frame network, then frozen; head and memory go on from there",
    True: "trunk, head and memory trained together from ImageNet weights",
}
"""By ``whole``: a text in the results' files. It must not change, since a series compares it with
existing files."""


@dataclass(frozen=True)
class Series:
    """Parts that all runs share.

    ``size`` is the (height, width) for evaluation; ``out`` is the folder of results, ``work`` that
    of checkpoints and maps.
    """

    dataset: Dataset
    start: Path
    out: Path
    work: Path
    settings: TrainSettings
    whole: bool
    output_stride: int
    size: tuple[int, int]
    device: torch.device

    @property
    def name(self) -> str:
        """The name of the series, which includes the frozen trunk; its runs may be compared."""
        trunk = "whole" if self.whole else self.start.stem
        return f"{self.dataset.name}-{trunk}-os{self.output_stride}"

    def recipe(self, experiment: Experiment) -> Recipe:
        """Return the recipe of one row."""
        return experiment.recipe(len(self.dataset.classes), self.output_stride)

    def run_settings(self, experiment: Experiment, seed: int) -> TrainSettings:
        """Return the settings of one run."""
        return replace(self.settings, **experiment.changes, seed=seed)

    def path(self, experiment: Experiment, seed: int) -> Path:
        """Return the path of one run's results."""
        return self.out / f"{self.name}-{experiment.slug}-{seed}.json"


def carry_out(series: Series, experiments: Sequence[Experiment], seeds: Sequence[int]) -> None:
    """Run all rows with one seed, then with the next; skip runs whose results exist.

    Raises DataError if such results are another run's.
    """
    for seed in seeds:
        for experiment in experiments:
            path = series.path(experiment, seed)
            if path.exists():
                check_same(path, asked(series, experiment, seed))
                continue
            print(f"{path.stem}", flush=True)
            found = attempt(series, experiment, seed)
            write_whole(path, found.model_dump_json(indent=1).encode() + b"\n")


def attempt(series: Series, experiment: Experiment, seed: int) -> Run:
    """Train and evaluate one row with one seed."""
    train = _train_whole if series.whole else _train_frozen
    network = train(series, experiment, series.run_settings(experiment, seed))
    results = {split: _scores(series, network, split) for split in SPLITS}
    return asked(series, experiment, seed).model_copy(update={"results": results})


def asked(series: Series, experiment: Experiment, seed: int) -> Run:
    """Return a run without its results."""
    recipe, settings = series.recipe(experiment), series.run_settings(experiment, seed)
    return Run(
        model=recipe.name,
        dataset=series.dataset.name,
        series=series.name,
        name=experiment.name,
        setting=SETTING[series.whole],
        start=series.start.stem,
        seed=seed,
        iterations=settings.iterations,
        options=recipe.to_dict()["memory"],
        settings=settings.to_dict(),
        results={},
    )


def check_same(path: Path, wanted: Run) -> None:
    """Raise DataError if the file holds the results of another run than ``wanted``."""
    found = read_run(path).model_dump(mode="json", exclude={"results"})
    ours = wanted.model_dump(mode="json", exclude={"results"})
    if differing := [name for name in ours if found[name] != ours[name]]:
        raise DataError(
            f"{path} is of a run with other {', '.join(differing)}; move it, or give another --out."
        )


def _train_frozen(series: Series, experiment: Experiment, settings: TrainSettings) -> Segmenter:
    clips = series.dataset.clips("train")
    recipe = series.recipe(experiment)
    network = frozen.begin(recipe, series.start, clips, settings)
    trunk = memoise(network, series.work / "maps")
    learner = Learner(
        network, replace(settings, frozen_stages=0), beginning.balance(clips, recipe, settings)
    )
    for lesson in frozen.train(learner, clips):
        if lesson.passes(40):
            print(f"  iteration {lesson.iteration} loss {lesson.loss:.3f}", flush=True)
    network.load_state_dict(learner.average)
    kept = series.work / f"{series.path(experiment, settings.seed).stem}.pt"
    trained = {f"encoder.trunk.{name}": held for name, held in trunk.state_dict().items()}
    checkpoint.save(
        kept,
        recipe,
        network.state_dict() | trained,
        dataset=series.dataset.name,
        settings=settings.to_dict(),
    )
    return network.eval()


def _train_whole(series: Series, experiment: Experiment, settings: TrainSettings) -> Segmenter:
    recipe = series.recipe(experiment)
    out = series.work / series.path(experiment, settings.seed).stem
    options = running.RunOptions(str(series.device))
    last = running.run(recipe, settings, series.dataset, series.start, out, options)
    return checkpoint.load(last)[0].to(series.device)


def _scores(series: Series, network: Segmenter, split: str) -> dict[Memory, Score]:
    """Return the scores with memory and with memory off; only off for a network without memory."""
    modes = [Mode.WITH, Mode.OFF] if network.encoder.options else [Mode.OFF]
    stepper = NetworkStepper(split, network, series.size)
    classes = series.dataset.classes
    shots = run(stepper, series.dataset.clips(split), modes)
    tallies, _ = evaluate.evaluate(shots, modes, len(classes))
    names = [label.name for label in classes]
    found: dict[Memory, Score] = {}
    for mode, tally in tallies.items():
        word: Memory = "with" if mode is Mode.WITH else "off"
        found[word] = _as_result(score(tally, names))
        print(f"  {split} {word}: {found[word]}", flush=True)
    return found


def _as_result(scored: Scored) -> Score:
    assert scored.miou is not None, "a split with labels has an mIoU"
    return Score(miou=scored.miou, accuracy=scored.accuracy, vc8=scored.vc8)


def choose(only: Sequence[str] | None) -> list[Experiment]:
    """Return the rows named by slug, such as ``deeplabv3plus-baseline``; all rows if None.

    Raises ValueError, listing the choices, if a name is unknown.
    """
    known = {experiment.slug: experiment for experiment in EXPERIMENTS}
    if unknown := [word for word in only or [] if word not in known]:
        raise ValueError(f"There is no experiment {unknown[0]!r}; choose from {', '.join(known)}.")
    return [known[word] for word in only or known]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m training.series",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="the dataset's folder")
    parser.add_argument("--dataset", default="camvid")
    parser.add_argument(
        "--start", type=Path, required=True, help="the file whose weights all runs start from"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("training/results"), help="folder of the results"
    )
    parser.add_argument(
        "--work", type=Path, default=Path("runs"), help="folder of checkpoints and maps"
    )
    parser.add_argument(
        "--only", nargs="+", metavar="ROW", help="rows to run, such as pspnet-baseline"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--iterations", type=int, default=480)
    parser.add_argument(
        "--still", type=float, default=0.0, help="share of clips made of one drifting picture"
    )
    parser.add_argument("--whole", action="store_true", help="also train the trunk")
    parser.add_argument("--output-stride", type=int, default=16, choices=(8, 16, 32))
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(352, 480),
        metavar=("H", "W"),
        help="size in pixels for evaluation (default 352 480)",
    )
    parser.add_argument(
        "--device", default="auto", help="device for --whole: auto, cpu, cuda or cuda:N"
    )
    parser.add_argument("--threads", type=int, help="CPU threads")
    return parser.parse_args(arguments)


def series_of(given: argparse.Namespace) -> Series:
    """Return the requested series. Raises ValueError if the dataset or device is unknown."""
    return Series(
        dataset=open_dataset(given.dataset, given.data),
        start=given.start,
        out=given.out,
        work=given.work,
        settings=recipe_settings("default", iterations=given.iterations, still=given.still),
        whole=given.whole,
        output_stride=given.output_stride,
        size=(given.size[0], given.size[1]),
        device=beginning.open_device(given.device),
    )


def main(arguments: list[str] | None = None) -> int:
    given = parse(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    try:
        carry_out(series_of(given), choose(given.only), given.seeds)
    except (ValueError, OSError, MastreamError) as error:
        print(f"training.series: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
