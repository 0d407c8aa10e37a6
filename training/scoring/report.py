"""Report the scores of an evaluation: as frozen values, as JSON in percent and as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from models.spec import ClassLabel
from training.data.clips import Clip
from training.scoring.consistency import WINDOWS
from training.scoring.metrics import accuracy, iou, mean_iou
from training.scoring.passes import Mode
from training.scoring.steppers import Stepper
from training.scoring.tally import Judged, Tally

Percent = float | None
"""A percentage; None if it is a share of nothing."""


@dataclass(frozen=True, slots=True)
class JudgeScore:
    """The judge's statistic (eq. 4) of one stage, 0..1.

    Mean and range are over the frames with a memory; ``accepted`` is the percentage of them that
    eq. 5 accepts.
    """

    mean: float
    low: float
    high: float
    accepted: Percent


@dataclass(frozen=True, slots=True)
class Score:
    """One mode's scores in percent; ``frames`` is the number of frames.

    ``vc8``, ``vc16``, ``unchanged8`` and ``unchanged16`` are for windows of 8 and 16 frames.
    """

    frames: int
    miou: Percent
    image_miou: Percent
    accuracy: Percent
    vc8: Percent
    vc16: Percent
    unchanged8: Percent
    unchanged16: Percent
    iou: Mapping[str, Percent]
    judge: Mapping[str, JudgeScore]


@dataclass(frozen=True, slots=True)
class Report:
    """The model, the data (dataset and split), the scores of each mode, and what was left out."""

    model: str
    data: str
    height: int
    width: int
    clips: int
    results: Mapping[str, Score]
    left_out: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def summarise(
    stepper: Stepper,
    data: str,
    clips: Sequence[Clip],
    classes: Sequence[ClassLabel],
    tallies: Mapping[Mode, Tally],
) -> Report:
    """Return the report of an evaluation from its tallies."""
    names = [label.name for label in classes]
    return Report(
        model=stepper.name,
        data=data,
        height=stepper.height,
        width=stepper.width,
        clips=len(clips),
        results={mode.value: score(tally, names) for mode, tally in tallies.items()},
        left_out=left_out(stepper, clips),
    )


def left_out(stepper: Stepper, clips: Sequence[Clip]) -> tuple[str, ...]:
    """Return the scores that this model cannot have on these clips, with the reasons."""
    longest = max((len(clip) for clip in clips if clip.dense), default=0)
    reasons = []
    if not longest:
        reasons.append("video consistency: no clip's labels are dense in time (CamVid: only val's)")
    elif longest < max(WINDOWS):
        reasons.append(f"some video consistency: the longest dense clip has {longest} frames")
    if stepper.frames and not stepper.judges:
        reasons.append("judge: not in an exported file; --runtime torch rebuilds its network")
    return tuple(reasons)


def score(tally: Tally, names: Sequence[str]) -> Score:
    """Return the scores of one mode from its tally; ``names`` are the classes'."""
    vc8, vc16 = (tally.consistency[n] for n in (8, 16))
    return Score(
        frames=tally.frames,
        miou=percent(mean_iou(tally.matrix)),
        image_miou=percent(tally.image_miou / tally.images if tally.images else None),
        accuracy=percent(accuracy(tally.matrix)),
        vc8=percent(vc8.score),
        vc16=percent(vc16.score),
        unchanged8=percent(vc8.unchanged_score),
        unchanged16=percent(vc16.unchanged_score),
        iou={n: percent(v) for n, v in zip(names, iou(tally.matrix).tolist(), strict=True)},
        judge={str(stage): _judge_score(judged) for stage, judged in tally.judged.items()},
    )


def percent(share: float | None) -> Percent:
    """Return a share in percent, to two decimals; None if it is None or NaN."""
    return None if share is None or math.isnan(share) else round(100 * share, 2)


def _judge_score(judged: Judged) -> JudgeScore:
    mean, low, high = (round(x, 4) for x in (judged.mean, judged.low, judged.high))
    return JudgeScore(mean, low, high, percent(judged.accepted / judged.frames))


ROWS = {
    "mIoU": "miou",
    "mIoU image by image": "image_miou",
    "accuracy": "accuracy",
    "VC8": "vc8",
    "VC16": "vc16",
    "unchanged, 8 frames": "unchanged8",
    "unchanged, 16 frames": "unchanged16",
}
COLUMNS = {
    Mode.WITH: "with memory",
    Mode.OFF: "memory off",
    Mode.RESET: "reset each frame",
    Mode.ITSELF: "only itself",
}


def table(report: Report) -> Table:
    """Return a table with a column per mode: scores, IoU of the classes that occur, judge."""
    scores = list(report.results.values())
    frames = scores[0].frames
    title = f"{report.model} on {report.data}, {frames} frames"
    drawn = Table("%", *(COLUMNS[Mode(mode)] for mode in report.results), title=title)
    for label, name in ROWS.items():
        values = [getattr(s, name) for s in scores]
        if any(value is not None for value in values):
            drawn.add_row(label, *map(_shown, values))
    drawn.add_section()
    for name in scores[0].iou:
        if any(s.iou[name] is not None for s in scores):
            drawn.add_row(name, *(_shown(s.iou[name]) for s in scores))
    drawn.add_section()
    for stage in sorted({stage for s in scores for stage in s.judge}):
        drawn.add_row(f"judge, stage {stage}", *(_judged(s.judge.get(stage)) for s in scores))
    return drawn


def _shown(value: Percent) -> str:
    return "-" if value is None else f"{value:.2f}"


def _judged(value: JudgeScore | None) -> str:
    return "-" if value is None else f"{value.mean:.3f} ({value.low:.3f}-{value.high:.3f})"
