"""Checkpoints: one file with a recipe, its weights and the state that training stores."""

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
    """The file is not a usable checkpoint; the message says why."""


def save(path: Path, recipe: Recipe, weights: Mapping[str, Tensor], **more: Any) -> None:
    """Write a checkpoint atomically: if interrupted, the old file stays. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(
        {"format": FORMAT, "recipe": recipe.to_dict(), "weights": dict(weights)} | more, partial
    )
    partial.replace(path)


def read(path: Path) -> dict[str, Any]:
    """Return everything that :func:`save` wrote. Raises CheckpointError if it cannot be read."""
    try:
        kept: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist; check the path.") from error
    except Exception as error:
        raise CheckpointError(
            f"{path} is not a checkpoint; name one that training.train wrote."
        ) from error
    if not isinstance(kept, dict) or kept.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a {FORMAT} file; name one that training.train wrote.")
    return kept


def load(path: Path) -> tuple[Segmenter, Recipe, dict[str, Any]]:
    """Return the network in eval mode, its recipe, and all that the file holds.

    Raises CheckpointError if the file cannot be read or does not fit its recipe.
    """
    kept = read(path)
    try:
        recipe = Recipe.from_dict(kept["recipe"])
    except KeyError as error:
        raise CheckpointError(f"{path} holds no recipe; name another checkpoint.") from error
    except ValueError as error:
        raise CheckpointError(f"{path} holds a recipe that cannot be built: {error}") from error
    network = build(recipe)
    try:
        network.load_state_dict(kept["weights"])
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} does not fit its own recipe; name another checkpoint ({error})."
        ) from error
    return network.eval(), recipe, kept


def rebuild(network: Segmenter, recipe: Recipe) -> Segmenter:
    """Return a network of ``recipe`` in eval mode with the weights of ``network``.

    The output stride and the length of the FIFO may differ: neither has weights. If the norms of
    ``network`` are folded, so are those of the result. Raises CheckpointError if the weights do
    not fit.
    """
    other = build(recipe).eval()
    if not any(isinstance(m, nn.BatchNorm2d) for m in network.encoder.trunk.modules()):
        fold_norms(other)
    try:
        other.load_state_dict(network.state_dict())
    except RuntimeError as error:
        raise CheckpointError(f"These weights do not fit {recipe.name} ({error}).") from error
    return other


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """Return sixteen hex digits that change with any name or weight."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
