"""Open any file that holds a network: a checkpoint (.pt) or an artefact (.onnx)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from models import artefact, checkpoint
from models.build import Recipe
from models.classes import DATASETS
from models.segmenter import Segmenter
from models.spec import ModelSpec, SpecError

DEFAULT_SIZE = (352, 480)
"""The default height and width at which a checkpoint is served."""


def load(path: Path) -> tuple[Segmenter, Recipe, ModelSpec]:
    """Return the network in eval mode, its recipe and its spec.

    The spec of a checkpoint has DEFAULT_SIZE. Raises SpecError or CheckpointError if the file is
    not a model of mastream, OSError or CheckpointError if it does not exist.
    """
    if path.suffix == ".onnx":
        return artefact.load(path)
    network, recipe, kept = checkpoint.load(path)
    if kept.get("dataset") not in DATASETS:
        raise SpecError(
            f"{path} names no known dataset, so its classes have no names; train it with one of "
            f"{', '.join(DATASETS)}."
        )
    dataset = DATASETS[kept["dataset"]]
    spec = ModelSpec(
        name=f"{recipe.name}-{kept['dataset']}",
        head=recipe.head,
        backbone=recipe.encoder,
        classes=dataset.classes,
        height=DEFAULT_SIZE[0],
        width=DEFAULT_SIZE[1],
        output_stride=recipe.output_stride,
        memory=(),
        memory_frames=0,
        memory_horizon=0,
        preset=recipe.preset,
        mean=recipe.mean,
        std=recipe.std,
        dataset=dataset.name,
        licence=dataset.licence,
        fingerprint=checkpoint.fingerprint(kept["weights"]),
    )
    return network, recipe, describe(network, spec, DEFAULT_SIZE, "fp32")


def describe(
    network: Segmenter, spec: ModelSpec, size: tuple[int, int], precision: str
) -> ModelSpec:
    """Return the spec of ``network`` served at ``size`` (height, width) in ``precision``."""
    options = network.encoder.options
    return replace(
        spec,
        height=size[0],
        width=size[1],
        output_stride=network.encoder.trunk.output_stride,
        memory=network.encoder.memory_shapes(*size),
        memory_frames=options.frames if options else 0,
        memory_horizon=options.horizon if options else 0,
        precision=precision,
    )
