"""Convert checkpoints of the release, whose parameter names are PaddleSeg's.

Each of our convolutions has one counterpart in the release, with the batch norm that follows it
stored next to it. In the release's heads some convolutions have a bias before batch norm. It only
shifts the norm's mean, so it is folded into that mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.heads.base import ReleasePath
from models.layers import norm_after
from models.segmenter import Segmenter

MEMORY_NAMES = {1: "mem_256", 2: "mem_512", 3: "mem_1024", 4: "mem_2048"}

PAIR_PATHS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"encoder\.trunk\.conv1\.(\d)\.conv", lambda m: f"backbone.conv1_{int(m[1]) + 1}"),
    (
        r"encoder\.trunk\.layer(\d)\.(\d+)\.conv(\d)",
        lambda m: f"backbone.bb_{int(m[1]) - 1}_{m[2]}.conv{int(m[3]) - 1}",
    ),
    (
        r"encoder\.trunk\.layer(\d)\.(\d+)\.downsample\.\d",
        lambda m: f"backbone.bb_{int(m[1]) - 1}_{m[2]}.short",
    ),
    (
        r"encoder\.pcma\.(\d)\.key_conv",
        lambda m: f"backbone.{MEMORY_NAMES[int(m[1])]}.key_enc.0",
    ),
)
"""Our path of a convolution followed by a batch norm -> the release's path of the pair."""


class ReleaseError(ValueError):
    """The parameters are not the release's for this network; the message names the first one."""


@dataclass(frozen=True)
class Pair:
    """A convolution and the batch norm that follows it: the release's paths and our two modules.

    ``biased``: the release's convolution has a bias.
    """

    conv_path: str
    norm_path: str
    conv: nn.Conv2d
    norm: nn.BatchNorm2d
    biased: bool


@dataclass(frozen=True)
class Alone:
    """A convolution without a batch norm, or the reverse: the release's path and our module."""

    path: str
    module: nn.Conv2d | nn.BatchNorm2d


def walk(network: Segmenter) -> Iterator[Pair | Alone]:
    """Yield each of our convolutions and norms with its path in the release.

    Raises ReleaseError if the release has no counterpart of a module.
    """
    modules = dict(network.named_modules())
    paired = set()
    for name, module in modules.items():
        if not isinstance(module, nn.Conv2d):
            continue
        norm = norm_after(name, modules)
        if norm is None:
            yield Alone(_release_path(network, name).theirs, module)
            continue
        paired.add(id(norm))
        path = _release_path(network, name)
        yield Pair(path.theirs + path.conv, path.theirs + path.norm, module, norm, path.biased)
    for name, module in modules.items():
        if isinstance(module, nn.BatchNorm2d) and id(module) not in paired:
            found = re.fullmatch(r"encoder\.pcma\.(\d)\.norm", name)
            if not found:
                raise ReleaseError(f"The release has no counterpart of {name}.")
            yield Alone(f"backbone.{MEMORY_NAMES[int(found[1])]}.bn_relu.0", module)


def _release_path(network: Segmenter, name: str) -> ReleasePath:
    """Return the path of our convolution ``name`` in the release."""
    for at, to in PAIR_PATHS:
        if found := re.fullmatch(at, name):
            return ReleasePath(name, to(found))
    for path in network.head.release_paths:
        if found := re.fullmatch(f"head\\.{path.ours}", name):
            return path._replace(theirs="head." + found.expand(path.theirs))
    raise ReleaseError(f"The release has no counterpart of {name}; its encoder is ma-resnet50_vd.")


def release_shapes(network: Segmenter) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter in the release's checkpoint of this network, by name.

    Raises ReleaseError if the release has no such network.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for item in walk(network):
        if isinstance(item, Pair):
            shapes[f"{item.conv_path}.weight"] = tuple(item.conv.weight.shape)
            if item.biased:
                shapes[f"{item.conv_path}.bias"] = (item.conv.out_channels,)
            shapes |= _norm_shapes(item.norm_path, item.norm)
        elif isinstance(item.module, nn.Conv2d):
            shapes[f"{item.path}.weight"] = tuple(item.module.weight.shape)
            if item.module.bias is not None:
                shapes[f"{item.path}.bias"] = tuple(item.module.bias.shape)
        else:
            shapes |= _norm_shapes(item.path, item.module)
    return shapes


def _norm_shapes(path: str, norm: nn.BatchNorm2d) -> dict[str, tuple[int, ...]]:
    return {f"{path}.{n}": (norm.num_features,) for n in ("weight", "bias", "_mean", "_variance")}


@torch.no_grad()
def load_release(network: Segmenter, state: Mapping[str, Tensor]) -> None:
    """Load the release's parameters into our network. Extra parameters are ignored.

    Raises ReleaseError if a parameter is missing or has another shape.
    """
    _check(release_shapes(network), state)
    for item in walk(network):
        if isinstance(item, Pair):
            item.conv.weight.copy_(state[f"{item.conv_path}.weight"])
            _load_norm(item.norm, item.norm_path, state)
            if item.biased:
                assert item.norm.running_mean is not None
                item.norm.running_mean -= state[f"{item.conv_path}.bias"]
        elif isinstance(item.module, nn.Conv2d):
            item.module.weight.copy_(state[f"{item.path}.weight"])
            if item.module.bias is not None:
                item.module.bias.copy_(state[f"{item.path}.bias"])
        else:
            _load_norm(item.module, item.path, state)


def _check(shapes: Mapping[str, tuple[int, ...]], state: Mapping[str, Tensor]) -> None:
    for name, shape in shapes.items():
        if name not in state:
            raise ReleaseError(f"The release's parameter {name} is missing; check the checkpoint.")
        if tuple(state[name].shape) != shape:
            raise ReleaseError(
                f"{name} has shape {tuple(state[name].shape)}, not {shape}; check the recipe."
            )


def _load_norm(norm: nn.BatchNorm2d, path: str, state: Mapping[str, Tensor]) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    norm.weight.copy_(state[f"{path}.weight"])
    norm.bias.copy_(state[f"{path}.bias"])
    norm.running_mean.copy_(state[f"{path}._mean"])
    norm.running_var.copy_(state[f"{path}._variance"])
