"""What a TensorRT plan says of itself, and how its build says how far it is. Needs no torch.

A plan is good for the GPU and the TensorRT that built it. ``PLAN.json`` beside ``PLAN`` holds
``{"spec": ModelSpec, "key": PlanKey}``: what the model is, and what the plan was built from and
for. ``export/to_trt.py`` writes both; whoever starts it reads its progress from its stderr.
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
"""How ``export/`` makes of a model the graph that TensorRT is given. It rises with every change
that makes another graph, or another plan, of the same file: kept plans are outdated then."""


class PlanError(ValueError):
    """A plan's description that is absent, incomplete or contradicts itself."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a plan is bound to: the GPU's name, its compute capability such as ``9.0``, and the
    version of TensorRT."""

    gpu: str
    capability: str
    tensorrt: str


@dataclass(frozen=True, slots=True)
class BatchRange:
    """Batch sizes a plan takes, and the one it is tuned for: ``min <= opt <= max``."""

    min: int
    opt: int
    max: int

    def __post_init__(self) -> None:
        if not 1 <= self.min <= self.opt <= self.max:
            raise PlanError(f"a batch range is 1 <= MIN <= OPT <= MAX, not {self}")

    def __str__(self) -> str:
        return f"{self.min}:{self.opt}:{self.max}"

    @classmethod
    def parse(cls, text: str) -> BatchRange:
        """``1:2:4`` -> smallest, tuned for, largest; ``4`` alone is all three."""
        sizes = text.split(":")
        if len(sizes) not in {1, 3} or not all(size.isdigit() for size in sizes):
            raise PlanError(f"a batch range is MIN:OPT:MAX, such as 1:2:4, not {text!r}")
        return cls(*map(int, sizes if len(sizes) == 3 else 3 * sizes))


@dataclass(frozen=True, slots=True)
class PlanKey:
    """What a plan was built from and for. Plans of equal keys may stand in for each other.

    ``source`` is the digest of the file it was made from, ``graph`` that of the ONNX graph which
    TensorRT was given. ``precision`` is the graph's. ``columns``: count is (B, 1) and not (B,), as
    Triton keeps state. ``version_compatible``: later TensorRTs of the same major run it too.
    ``rewriting`` is REWRITING as it was, 0 where that was not told yet.
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
        """Why the plan cannot run here and what to do, in one sentence; None where it can."""
        ours, theirs = asdict(self.machine), asdict(here)
        differing = [name for name in ours if ours[name] != theirs[name]]
        if self.version_compatible and not _older(here.tensorrt, self.machine.tensorrt):
            differing = [name for name in differing if name != "tensorrt"]
        if not differing:
            return None
        told = ", ".join(f"{WORDS[name]} {ours[name]}, not {theirs[name]}" for name in differing)
        return f"the plan was built for {told}: build it here with python -m export.to_trt"

    def file_name(self, model: str) -> str:
        """The plan's file name: it differs where the key does."""
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
        """Read what :meth:`to_dict` gave. Raises PlanError."""
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
            raise PlanError(f"the plan's key is incomplete: {error!r}") from error


WORDS = {"gpu": "an", "capability": "compute capability", "tensorrt": "TensorRT"}
"""What stands before a value of a Machine in a sentence."""


@dataclass(frozen=True, slots=True)
class PlanDescription:
    """What lies beside a plan."""

    spec: ModelSpec
    key: PlanKey

    def to_json(self) -> str:
        return json.dumps({"spec": self.spec.to_dict(), "key": self.key.to_dict()}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> PlanDescription:
        """Read what :meth:`to_json` wrote. Raises PlanError with what is wrong."""
        try:
            held = json.loads(text)
            return cls(ModelSpec.from_dict(held["spec"]), PlanKey.from_dict(held["key"]))
        except (json.JSONDecodeError, KeyError, TypeError, SpecError) as error:
            raise PlanError(f"this does not describe a plan: {error!r}") from error


def description_path(plan: Path) -> Path:
    """Where a plan's description lies: ``PLAN.json``."""
    return plan.with_name(f"{plan.name}.json")


def digest(content: bytes) -> str:
    """Sixteen hex digits that change with the content."""
    return hashlib.sha256(content).hexdigest()[:16]


def _older(one: str, other: str) -> bool:
    """Whether version ``one`` cannot run what is forward compatible from ``other``."""
    (major, *rest), (wanted, *least) = (_numbers(version) for version in (one, other))
    return major != wanted or rest < least


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """How far a build is: 0 to 100 percent, and what it is at."""

    percent: int
    phase: str

    def line(self) -> str:
        """``progress 42 Tactic selection``"""
        return f"progress {self.percent} {' '.join(self.phase.split())}"

    @classmethod
    def parse(cls, line: str) -> BuildProgress | None:
        """Read what :meth:`line` gave; None for any other line."""
        found = re.fullmatch(r"progress (\d{1,3}) (.*)", line.rstrip("\r\n"))
        if not found or int(found[1]) > 100:
            return None
        return cls(int(found[1]), found[2])
