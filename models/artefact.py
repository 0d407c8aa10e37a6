"""Exported ONNX files as sources: their spec, their recipe and their weights back again.

A file of ours holds a ModelSpec under ``mastream`` and the network's recipe under
``mastream_recipe``; its weights keep their PyTorch names, with batch norms folded. Weights stored
as levels are named ``<name>.int8`` (biases ``<name>.int32``) and ``<name>.scale`` and stand for
their product.
"""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import torch
from onnx import ModelProto, numpy_helper
from torch import Tensor

from models.build import Recipe, build
from models.described import metadata, read, read_spec
from models.heads.base import TRAINING_ONLY
from models.layers import fold_norms
from models.segmenter import Segmenter
from models.spec import ModelSpec, SpecError

RECIPE_KEY = "mastream_recipe"
LEVELS = ("int8", "int32")


def load(path: Path) -> tuple[Segmenter, Recipe, ModelSpec]:
    """The network of an exported file, folded, in eval mode and float32.

    Raises SpecError for a file that is not ours, OSError for one that cannot be read.
    """
    model = read(path)
    spec, held = read_spec(model), metadata(model)
    if RECIPE_KEY not in held:
        raise SpecError(f"{path} does not hold its recipe: export from its checkpoint instead")
    try:
        recipe = Recipe.from_dict(json.loads(held[RECIPE_KEY]))
    except ValueError as error:
        raise SpecError(f"{path} holds no recipe that can be built: {error}") from error
    network = build(recipe).eval()
    fold_norms(network)
    try:
        network.load_state_dict(stored_weights(model, network))
    except (KeyError, RuntimeError) as error:
        raise SpecError(f"{path} does not hold the weights of its recipe: {error}") from error
    return network, recipe, spec


def stored_weights(model: ModelProto, network: Segmenter) -> dict[str, Tensor]:
    """Every parameter and buffer of ``network`` out of the file, in float32.

    What only training needs is not in it and stays as ``network`` has it.
    """
    held = {i.name: i for i in model.graph.initializer}
    weights = {}
    for name, wanted in network.state_dict().items():
        if not is_served(name):
            weights[name] = wanted
        elif levels := [held[f"{name}.{kind}"] for kind in LEVELS if f"{name}.{kind}" in held]:
            scale = _tensor(held[f"{name}.scale"])
            weights[name] = _tensor(levels[0]) * scale.view(-1, *[1] * (wanted.ndim - 1))
        else:
            weights[name] = _tensor(held[f"{name}.fp16" if f"{name}.fp16" in held else name])
    return weights


def is_served(name: str) -> bool:
    """Does a file hold the weight ``name``? Not a norm's counter, not an auxiliary head."""
    return not name.endswith("num_batches_tracked") and not name.startswith(TRAINING_ONLY)


def _tensor(initialiser: onnx.TensorProto) -> Tensor:
    return torch.from_numpy(numpy_helper.to_array(initialiser).copy()).float()
