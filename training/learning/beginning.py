"""What a run begins with: its device, its clips, its network, the weights of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from models import checkpoint
from models.backbone import load_imagenet
from models.build import Recipe, build
from models.segmenter import Segmenter
from training.data.datasets import Clip, DataError, class_shares
from training.settings import TrainSettings


def open_device(name: str) -> torch.device:
    """``auto`` (the GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    On a GPU cuDNN is told to time its kernels once. Raises ValueError where that is not here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"no device {name!r}; there are auto, cpu, cuda and cuda:N") from error
    if device.type not in {"cpu", "cuda"}:
        raise ValueError(f"training runs on cpu or cuda, not on {name}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"{name} is not here: torch sees {torch.cuda.device_count()} CUDA devices")
    torch.backends.cudnn.benchmark = device.type == "cuda"  # all sizes of a run are fixed
    return device


def device_name(device: torch.device) -> str:
    """What a checkpoint says of where it was trained."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def begin(recipe: Recipe, start: Path | None) -> Segmenter:
    """The network with fresh weights, ImageNet's in its trunk, or a checkpoint's.

    Memory that the checkpoint's network lacks starts afresh. Raises DataError, CheckpointError.
    """
    network = build(recipe)
    if start is None:
        return network
    if start.suffix == ".pt":
        return _take_over(network, start)
    try:
        load_imagenet(network.encoder.trunk, load_file(start))
    except SafetensorError as error:
        raise DataError(f"{start} is neither a .safetensors file nor a .pt: {error}") from error
    return network


def _take_over(network: Segmenter, start: Path) -> Segmenter:
    fresh = {n: v for n, v in network.state_dict().items() if n.startswith("encoder.pcma.")}
    try:
        network.load_state_dict(fresh | checkpoint.load(start)[0].state_dict())
    except RuntimeError as error:
        raise checkpoint.CheckpointError(f"{start} does not fit this network: {error}") from error
    return network


def balance(clips: Sequence[Clip], recipe: Recipe, settings: TrainSettings) -> Tensor:
    """(median share / share) ** class_balance of each class; 1 where the exponent is 0."""
    shares = class_shares(clips, recipe.classes).clip(min=1e-6)
    weights = (np.median(shares) / shares) ** settings.class_balance
    return torch.tensor(weights, dtype=torch.float32)
