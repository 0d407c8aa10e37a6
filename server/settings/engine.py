"""What computes the masks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from server.settings.group import Folder, Group

Provider = Literal["auto", "tensorrt", "cuda", "cpu"]

PlanPrecision = Literal["fp16", "fp32", "off"]


class EngineSettings(Group):
    """Which engine runs the model, and with how many streams, devices and threads."""

    name: str = Field("onnx_rt", description="a row of server.engines.ENGINES")
    model: Path | None = Field(None, description="artefact; the shipped model if absent")
    provider: Provider = Field(
        "auto",
        description="what computes; auto takes the first of the others that works here. A provider "
        "that is named and does not work is an error",
    )
    devices: str = Field(
        "auto",
        pattern=r"^(auto|\d+(,\d+)*)$",
        description="CUDA's numbers of the GPUs that serve, such as 0,1, with one engine each; "
        "auto uses all of them. If devices are named, there is no fallback to the CPU",
    )
    cache: Folder | None = Field(
        None, description="folder of built TensorRT plans; the model's folder if absent"
    )
    plan: PlanPrecision = Field(
        "fp16",
        description="precision of the TensorRT plan that onnx_rt with provider auto switches to "
        "while it serves; it is built if there is none, except for `segment`. A model quantised "
        "(Q/DQ) for TensorRT keeps its int8 or fp8; the uint8 levels of a model for ONNX Runtime, "
        "such as the shipped one, are dropped. off: no plan is used",
    )
    max_batch: PositiveInt = Field(4, description="most streams in one step")
    threads: PositiveInt | None = Field(None, description="compute threads; all cores if absent")
    step_deadline: PositiveFloat | None = Field(
        None,
        description="seconds after which the engine of an unfinished step counts as dead; if "
        "absent, ten times the slowest step so far, and at least 2 s",
    )
    fake_step_ms: float = Field(0.0, ge=0, description="duration of the fake engine's step")
    fake_height: PositiveInt = Field(352, description="height of the fake engine's frames")
    fake_width: PositiveInt = Field(480, description="width of the fake engine's frames")

    @property
    def needs_gpu(self) -> bool:
        """Return whether a GPU was requested, so that having none is an error."""
        return self.provider in ("tensorrt", "cuda") or self.devices != "auto"

    @property
    def device(self) -> int:
        """Return the GPU of one engine: the first of ``devices``."""
        return 0 if self.devices == "auto" else int(self.devices.split(",")[0])
