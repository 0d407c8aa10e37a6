"""A plan's description survives its file, and names what does not fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from models.plan import (
    REWRITING,
    BatchRange,
    BuildProgress,
    Machine,
    PlanDescription,
    PlanError,
    PlanKey,
    description_path,
    digest,
)
from models.spec import ClassLabel, ModelSpec, StageMemory

HERE = Machine("NVIDIA H100 80GB HBM3", "9.0", "11.4.0.106")
KEY = PlanKey(HERE, digest(b"source"), digest(b"graph"), "fp16", BatchRange(1, 2, 4))
SPEC = ModelSpec(
    name="little",
    head="deeplabv3plus",
    backbone="ma-resnet50",
    classes=(ClassLabel("Road", (128, 64, 128)), ClassLabel("Sky", (128, 128, 128))),
    height=64,
    width=96,
    output_stride=16,
    memory=(StageMemory(1, 24, 32, 64),),
    memory_frames=2,
    memory_horizon=2,
    preset="default",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    precision="fp16",
)


def test_a_description_survives_its_file() -> None:
    described = PlanDescription(SPEC, replace(KEY, columns=True, version_compatible=True))
    assert PlanDescription.from_json(described.to_json()) == described
    key = json.loads(described.to_json())["key"]
    assert (key["gpu"], key["tensorrt"], key["batch"]) == (HERE.gpu, HERE.tensorrt, "1:2:4")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"spec": {}, "key": {}}', '{"spec": 1, "key": 2}', "null"]
)
def test_what_describes_no_plan_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="does not describe a plan"):
        PlanDescription.from_json(text)


@pytest.mark.parametrize("field", ["gpu", "tensorrt", "source", "graph", "batch", "columns"])
def test_a_key_must_be_whole(field: str) -> None:
    given = KEY.to_dict()
    del given[field]
    with pytest.raises(PlanError, match=field):
        PlanKey.from_dict(given)


def test_a_plan_from_before_rewritings_were_counted_is_the_oldest() -> None:
    given = KEY.to_dict()
    assert PlanKey.from_dict(given).rewriting == REWRITING
    del given["rewriting"]
    assert PlanKey.from_dict(given).rewriting == 0 < REWRITING


def test_a_plan_fits_where_it_was_built_and_says_why_elsewhere() -> None:
    assert KEY.misfit(HERE) is None
    told = KEY.misfit(replace(HERE, gpu="NVIDIA L4", capability="8.9"))
    assert told == (
        "The plan was built for an NVIDIA H100 80GB HBM3, not NVIDIA L4, compute capability 9.0, "
        "not 8.9; build it here with python -m export.to_trt."
    )
    assert "TensorRT 11.4.0.106, not 11.5.0.1" in str(
        KEY.misfit(replace(HERE, tensorrt="11.5.0.1"))
    )


@pytest.mark.parametrize(
    ("version", "fits"),
    [("11.4.0.106", True), ("11.10.0.1", True), ("11.3.9.9", False), ("12.0.0.1", False)],
)
def test_a_version_compatible_plan_fits_later_ones_of_its_major(version: str, fits: bool) -> None:
    compatible = replace(KEY, version_compatible=True)
    assert (compatible.misfit(replace(HERE, tensorrt=version)) is None) == fits
    assert compatible.misfit(replace(HERE, gpu="NVIDIA L4")) is not None


def test_the_file_name_shows_the_key() -> None:
    name = KEY.file_name("little")
    assert name == (
        f"little.fp16.b1-2-4.nvidia-h100-80gb-hbm3-sm90.trt11.4.0.106.{KEY.graph[:8]}.plan"
    )
    others = [
        replace(KEY, precision="fp32"),
        replace(KEY, batch=BatchRange(1, 4, 4)),
        replace(KEY, graph=digest(b"other")),
        replace(KEY, version_compatible=True),
        replace(KEY, machine=replace(HERE, capability="9.1")),
    ]
    assert len({other.file_name("little") for other in others} | {name}) == 6
    assert description_path(Path("a") / name) == Path("a") / f"{name}.json"


@pytest.mark.parametrize(
    ("text", "sizes"), [("1:2:4", (1, 2, 4)), ("3", (3, 3, 3)), ("8:8:8", (8, 8, 8))]
)
def test_a_batch_range_is_read(text: str, sizes: tuple[int, int, int]) -> None:
    assert BatchRange.parse(text) == BatchRange(*sizes)


@pytest.mark.parametrize("text", ["", "0", "1:2", "4:2:1", "1:2:4:8", "a", "-1:2:3"])
def test_a_wrong_batch_range_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="batch range"):
        BatchRange.parse(text)


@pytest.mark.parametrize("phase", ["Tactic selection", "", "Building engine: [A, B] 50%"])
def test_progress_is_read_as_it_was_written(phase: str) -> None:
    told = BuildProgress(42, phase)
    assert BuildProgress.parse(told.line()) == told
    assert BuildProgress.parse(told.line() + "\n") == told


def test_a_phase_stays_on_its_line() -> None:
    assert BuildProgress(7, "two\nlines").line() == "progress 7 two lines"


@pytest.mark.parametrize(
    "line", ["", "progress", "progress x y", "progress 101 y", "[TRT] progress 5 y", "progress 5"]
)
def test_any_other_line_is_no_progress(line: str) -> None:
    assert BuildProgress.parse(line) is None
