"""Checkpoints: a recipe, its weights and whatever training wants to keep, in one file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.build import Recipe, build
from models.layers import fold_norms
from models.segmenter import Segmenter

FORMAT = "mastream-checkpoint-1"


class CheckpointError(ValueError):
    """A file that is no checkpoint of ours; the message says what is wrong with it."""


def save(path: Path, recipe: Recipe, weights: Mapping[str, Tensor], **more: Any) -> None:
    """Write at once or not at all: a kill half-way leaves the file before it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(
        {"format": FORMAT, "recipe": recipe.to_dict(), "weights": dict(weights)} | more, partial
    )
    partial.replace(path)


def read(path: Path) -> dict[str, Any]:
    """All that :func:`save` wrote. Raises CheckpointError."""
    try:
        kept: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist") from error
    except Exception as error:
        raise CheckpointError(f"{path} is not a checkpoint that training.train wrote") from error
    if not isinstance(kept, dict) or kept.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a {FORMAT} file; train one with training.train")
    return kept


def load(path: Path) -> tuple[Segmenter, Recipe, dict[str, Any]]:
    """The network in eval mode, its recipe, and the rest of the file."""
    kept = read(path)
    try:
        recipe = Recipe.from_dict(kept["recipe"])
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path} holds no recipe that can be built: {error}") from error
    network = build(recipe)
    try:
        network.load_state_dict(kept["weights"])
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit its own recipe: {error}") from error
    return network.eval(), recipe, kept


def rebuild(network: Segmenter, recipe: Recipe) -> Segmenter:
    """The same weights under another recipe: output stride and FIFO length have none of their own.

    A folded network stays folded. Raises CheckpointError where the weights do not fit.
    """
    other = build(recipe).eval()
    if not any(isinstance(m, nn.BatchNorm2d) for m in network.encoder.trunk.modules()):
        fold_norms(other)
    try:
        other.load_state_dict(network.state_dict())
    except RuntimeError as error:
        raise CheckpointError(f"these weights do not fit {recipe.name}: {error}") from error
    return other


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """Sixteen hex digits that change with any weight."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
