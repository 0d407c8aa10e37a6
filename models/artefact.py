"""Load the network of an exported ONNX file: its spec, its recipe and its weights.

The file's metadata holds a ModelSpec under ``mastream`` and the network's recipe under
``mastream_recipe``. Its weights keep their PyTorch names, with batch norms folded. A weight that is
stored in float16 is named ``<name>.fp16``. A quantised weight is the product of its levels
``<name>.int8`` (a bias: ``<name>.int32``) and ``<name>.scale``, one value per output channel.
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
    """Return the network of an exported file, its recipe and its spec.

    The network is in eval mode and float32, with batch norms folded. Raises SpecError if the file
    was not exported by mastream or does not fit its recipe, OSError if it cannot be read.
    """
    model = read(path)
    spec, held = read_spec(model), metadata(model)
    if RECIPE_KEY not in held:
        raise SpecError(f"{path} holds no recipe; use the checkpoint that it was exported from.")
    try:
        recipe = Recipe.from_dict(json.loads(held[RECIPE_KEY]))
    except ValueError as error:
        raise SpecError(f"{path} holds a recipe that cannot be built: {error}") from error
    network = build(recipe).eval()
    fold_norms(network)
    try:
        network.load_state_dict(stored_weights(model, network))
    except (KeyError, RuntimeError) as error:
        raise SpecError(
            f"{path} does not hold the weights of its recipe; export it again ({error})."
        ) from error
    return network, recipe, spec


def stored_weights(model: ModelProto, network: Segmenter) -> dict[str, Tensor]:
    """Return every parameter and buffer of ``network`` as the file stores it, in float32.

    Tensors that only training needs are not in the file; those of ``network`` are returned.
    Raises KeyError if the file lacks a weight.
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
    """Return whether an exported file holds the weight ``name``.

    It holds neither the counters of batch norms nor auxiliary heads.
    """
    return not name.endswith("num_batches_tracked") and not name.startswith(TRAINING_ONLY)


def _tensor(initialiser: onnx.TensorProto) -> Tensor:
    return torch.from_numpy(numpy_helper.to_array(initialiser).copy()).float()
