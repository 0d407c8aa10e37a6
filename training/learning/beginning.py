"""Set up a run: its device, its network and the weights of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from models import artefact, checkpoint
from models.backbone import load_imagenet
from models.build import Recipe, build
from models.segmenter import Segmenter
from server.sources.pictures.picture import fit
from training.data.datasets import Clip, DataError, class_shares, read_image
from training.learning.reach import silence_unreached
from training.learning.unfolding import unfold
from training.settings import TrainSettings

PICTURES = 48
"""About how many pictures of a dataset an artefact's norms are measured on."""


def open_device(name: str) -> torch.device:
    """Return the device ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    On a GPU, make cuDNN choose its kernels by timing them once. Raises ValueError if the device
    is unknown or missing.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(
            f"There is no device {name!r}; choose from auto, cpu, cuda and cuda:N."
        ) from error
    if device.type not in {"cpu", "cuda"}:
        raise ValueError(f"Train on cpu or cuda, not on {name}.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"Device {name} is not available, since torch finds {torch.cuda.device_count()} CUDA "
            "devices; choose another one."
        )
    torch.backends.cudnn.benchmark = device.type == "cuda"  # all sizes of a run are fixed
    return device


def device_name(device: torch.device) -> str:
    """Return the name of the device that checkpoints store."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def begin(
    recipe: Recipe, start: Path | None, clips: Sequence[Clip], crop: tuple[int, int]
) -> Segmenter:
    """Return the recipe's network with the weights of ``start``.

    ``start`` None means fresh weights, a ``.safetensors`` ImageNet weights for the trunk, a ``.pt``
    or ``.onnx`` the weights of that network. A memory that the other network lacks is fresh; one
    that only the other has is ignored. In a fresh head the taps that no crop (height, width)
    reaches are 0. Raises DataError, CheckpointError, SpecError or ValueError if ``start`` cannot
    be read or does not fit, OSError if it does not exist.
    """
    network = build(recipe)
    if start is not None and start.suffix in {".pt", ".onnx"}:
        return _take_over(network, start, clips)
    silence_unreached(network, crop)
    if start is None:
        return network
    try:
        load_imagenet(network.encoder.trunk, load_file(start))
    except SafetensorError as error:
        raise DataError(
            f"{start} is neither a .safetensors file nor a .pt or .onnx; start from one ({error})."
        ) from error
    return network


def open_start(start: Path, clips: Sequence[Clip]) -> tuple[Segmenter, Recipe]:
    """Return the network of a checkpoint, or of an artefact with norms restored, and its recipe.

    ``clips`` are those on which the norms of an artefact are measured. Raises CheckpointError or
    SpecError if ``start`` cannot be used, DataError if a picture cannot be read.
    """
    if start.suffix != ".onnx":
        network, recipe, _ = checkpoint.load(start)
        return network, recipe
    folded, recipe, spec = artefact.load(start)
    samples = [sample for clip in clips for sample in clip.samples]
    every = max(1, len(samples) // PICTURES)
    pictures = [fit(read_image(sample), spec.height, spec.width) for sample in samples[::every]]
    return unfold(folded, recipe, [torch.from_numpy(picture) for picture in pictures]), recipe


def _take_over(network: Segmenter, start: Path, clips: Sequence[Clip]) -> Segmenter:
    ours = network.state_dict()
    fresh = {n: v for n, v in ours.items() if is_memory(n)}
    given = open_start(start, clips)[0].state_dict()
    try:
        network.load_state_dict(
            fresh | {n: v for n, v in given.items() if fresh or not is_memory(n)}
        )
    except RuntimeError as error:
        raise checkpoint.CheckpointError(
            f"{start} does not fit this network; start from another file ({error})."
        ) from error
    return network


def is_memory(name: str) -> bool:
    """Return whether the weight with this name belongs to memory."""
    return name.startswith("encoder.pcma.")


def balance(clips: Sequence[Clip], recipe: Recipe, settings: TrainSettings) -> Tensor:
    """Return (median share / share) ** class_balance of each class, float32 (classes,)."""
    shares = class_shares(clips, recipe.classes).clip(min=1e-6)
    weights = (np.median(shares) / shares) ** settings.class_balance
    return torch.tensor(weights, dtype=torch.float32)
