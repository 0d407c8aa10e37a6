"""The description of a TensorRT plan, and the progress of its build. Needs no torch.

A plan runs only on the GPU and the TensorRT version that it was built with. ``PLAN.json`` next to
``PLAN`` holds ``{"spec": ModelSpec, "key": PlanKey}``: the model's description, and what the plan
was built from and for. ``export/to_trt.py`` writes both files and reports progress on stderr.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.spec import ModelSpec, SpecError

REWRITING = 1
"""The version of the way in which ``export/`` turns a model into a graph for TensorRT. Every change
that makes another graph or plan from the same file increases it, which outdates cached plans."""


class PlanError(ValueError):
    """The description of a plan is missing, incomplete or contradictory."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a plan is tied to: the GPU's name, its compute capability, such as ``9.0``, and the
    version of TensorRT."""

    gpu: str
    capability: str
    tensorrt: str


@dataclass(frozen=True, slots=True)
class BatchRange:
    """The batch sizes that a plan accepts, and the one it is tuned for: ``min <= opt <= max``.

    Raises PlanError for any other order, or if ``min`` is below 1.
    """

    min: int
    opt: int
    max: int

    def __post_init__(self) -> None:
        if not 1 <= self.min <= self.opt <= self.max:
            raise PlanError(f"Give a batch range with 1 <= MIN <= OPT <= MAX, not {self}.")

    def __str__(self) -> str:
        return f"{self.min}:{self.opt}:{self.max}"

    @classmethod
    def parse(cls, text: str) -> BatchRange:
        """Read ``MIN:OPT:MAX``; a single number stands for all three.

        Raises PlanError for any other text.
        """
        sizes = text.split(":")
        if len(sizes) not in {1, 3} or not all(size.isdigit() for size in sizes):
            raise PlanError(f"Give a batch range as MIN:OPT:MAX, such as 1:2:4, not {text!r}.")
        return cls(*map(int, sizes if len(sizes) == 3 else 3 * sizes))


@dataclass(frozen=True, slots=True)
class PlanKey:
    """What a plan was built from and for. Plans with equal keys are interchangeable.

    ``source`` is the digest of the file that it was built from, ``graph`` that of the ONNX graph
    that TensorRT compiled. ``precision`` is the graph's. ``columns``: count is (B, 1) instead of
    (B,), as Triton keeps state. ``version_compatible``: later TensorRT versions with the same major
    number run it too. ``rewriting`` is the value of REWRITING at the build, 0 if not recorded.
    """

    machine: Machine
    source: str
    graph: str
    precision: str
    batch: BatchRange
    columns: bool = False
    version_compatible: bool = False
    rewriting: int = REWRITING

    def misfit(self, here: Machine) -> str | None:
        """Return a sentence on why the plan cannot run here and what to do; None if it can run."""
        ours, theirs = asdict(self.machine), asdict(here)
        differing = [name for name in ours if ours[name] != theirs[name]]
        if self.version_compatible and not _older(here.tensorrt, self.machine.tensorrt):
            differing = [name for name in differing if name != "tensorrt"]
        if not differing:
            return None
        differences = ", ".join(
            f"{WORDS[name]} {ours[name]}, not {theirs[name]}" for name in differing
        )
        return f"The plan was built for {differences}; build it here with python -m export.to_trt."

    def file_name(self, model: str) -> str:
        """Return the plan's file name: other keys give other names."""
        gpu = re.sub(r"[^A-Za-z0-9]+", "-", self.machine.gpu).strip("-").lower()
        capability = self.machine.capability.replace(".", "")
        batch = str(self.batch).replace(":", "-")
        version = self.machine.tensorrt + ("-vc" if self.version_compatible else "")
        return (
            f"{model}.{self.precision}.b{batch}.{gpu}-sm{capability}.trt{version}"
            f".{self.graph[:8]}.plan"
        )

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        return {**values.pop("machine"), **values, "batch": str(self.batch)}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> PlanKey:
        """Read the result of :meth:`to_dict`. Raises PlanError if a field is missing or wrong."""
        try:
            return cls(
                machine=Machine(given["gpu"], given["capability"], given["tensorrt"]),
                source=given["source"],
                graph=given["graph"],
                precision=given["precision"],
                batch=BatchRange.parse(given["batch"]),
                columns=bool(given["columns"]),
                version_compatible=bool(given["version_compatible"]),
                rewriting=given.get("rewriting", 0),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise PlanError(
                f"The plan's key is incomplete; build the plan again ({error!r})."
            ) from error


WORDS = {"gpu": "an", "capability": "compute capability", "tensorrt": "TensorRT"}
"""The word before each value of a Machine in a sentence."""


@dataclass(frozen=True, slots=True)
class PlanDescription:
    """The content of the file next to a plan."""

    spec: ModelSpec
    key: PlanKey

    def to_json(self) -> str:
        return json.dumps({"spec": self.spec.to_dict(), "key": self.key.to_dict()}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> PlanDescription:
        """Read the result of :meth:`to_json`. Raises PlanError if it does not describe a plan."""
        try:
            held = json.loads(text)
            return cls(ModelSpec.from_dict(held["spec"]), PlanKey.from_dict(held["key"]))
        except (json.JSONDecodeError, KeyError, TypeError, SpecError) as error:
            raise PlanError(
                f"The file does not describe a plan; build the plan again ({error!r})."
            ) from error


def description_path(plan: Path) -> Path:
    """Return the path of a plan's description: ``PLAN.json``."""
    return plan.with_name(f"{plan.name}.json")


def digest(content: bytes) -> str:
    """Return sixteen hex digits that change with the content."""
    return hashlib.sha256(content).hexdigest()[:16]


def _older(one: str, other: str) -> bool:
    """Return whether version ``one`` cannot run a version compatible plan of ``other``."""
    (major, *rest), (wanted, *least) = (_numbers(version) for version in (one, other))
    return major != wanted or rest < least


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """The progress of a build: 0 to 100 percent, and the current phase."""

    percent: int
    phase: str

    def line(self) -> str:
        """Return the progress as a line, such as ``progress 42 Tactic selection``."""
        return f"progress {self.percent} {' '.join(self.phase.split())}"

    @classmethod
    def parse(cls, line: str) -> BuildProgress | None:
        """Read the result of :meth:`line`; return None for any other line."""
        found = re.fullmatch(r"progress (\d{1,3}) (.*)", line.rstrip("\r\n"))
        if not found or int(found[1]) > 100:
            return None
        return cls(int(found[1]), found[2])
