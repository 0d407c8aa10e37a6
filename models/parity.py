"""Check that our network computes what the paper's release computes.

``python -m models.parity VECTORS.npz`` builds the network with the preset ``release``, gives every
parameter the value that its name prescribes, runs the frames of the file and prints the largest
relative error of every stored map. The exit status is 1 if an error exceeds the tolerance and 2 if
the file cannot be used.

A file of vectors holds ``frames`` uint8 (n, H, W, 3) and, for each frame from 1 on, the features
that enter the head (``c1_t1`` to ``c4_t1`` for frame 1), sampled ``[::max(1, C // 32), ::2, ::2]``,
and the logits (``logits_t1``), sampled ``[:, ::4, ::4]``. Frame 0 only fills the memory. The
relative error of a map is the largest difference divided by the stored map's largest magnitude.
"""

from __future__ import annotations

import argparse
import re
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.build import HALF, HEADS, Recipe, build
from models.release import load_release, release_shapes
from models.segmenter import Segmenter

TOLERANCE = 1e-4
MAP_NAME = re.compile(r"(c[1-4]|logits)_t(\d+)")


class VectorsError(ValueError):
    """The file does not hold vectors in this format."""


def prescribed(name: str, shape: tuple[int, ...], salt: str) -> NDArray[np.float32]:
    """Return the value of the release's parameter ``name``; salt and name seed the draw."""
    g = np.random.default_rng(zlib.crc32((salt + name).encode()))
    if name.endswith(("._mean", "bias")):
        value = g.normal(size=shape) * 0.1
    elif name.endswith("._variance"):
        value = g.uniform(0.5, 1.5, shape)
    elif len(shape) == 4:
        value = g.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
    else:
        value = g.uniform(0.75, 1.25, shape)
        if name.endswith("conv2._batch_norm.weight"):
            value = value * 0.3
    return value.astype(np.float32)


def release_network(head: str, classes: int, salt: str) -> Segmenter:
    """Return the release's network (ResNet50-vd, output stride 8) with the prescribed values."""
    recipe = Recipe(head, "ma-resnet50_vd", classes, 8, "release", mean=HALF[0], std=HALF[1])
    network = build(recipe).eval()
    values = {
        name: torch.from_numpy(prescribed(name, shape, salt))
        for name, shape in release_shapes(network).items()
    }
    load_release(network, values)
    return network


@torch.no_grad()
def compute(
    network: Segmenter, frames: NDArray[np.uint8]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Yield the maps of each frame (H, W, 3): ``c1``.. and ``logits``, sampled as in the file."""
    _, height, width, _ = frames.shape
    memory = network.encoder.blank(1, height, width, torch.zeros(()))
    for frame in torch.from_numpy(frames):
        logits, features = network.logits(network.normalise(frame[None]), memory)
        memory = features.memory
        maps = {f"c{n}": _thin(c[0]) for n, c in enumerate(features.maps, start=1)}
        yield {**maps, "logits": logits[0, :, ::4, ::4].numpy()}


def _thin(feature: Tensor) -> NDArray[np.float32]:
    thinned: NDArray[np.float32] = feature[:: max(1, feature.shape[0] // 32), ::2, ::2].numpy()
    return thinned


def compare(vectors: Mapping[str, NDArray[np.float32]], head: str, salt: str) -> dict[str, float]:
    """Return the relative error of every stored map by name.

    Raises VectorsError if the vectors are incomplete, not finite or of another shape.
    """
    stored = sorted(name for name in vectors if MAP_NAME.fullmatch(name))
    logits = [vectors[name] for name in stored if name.startswith("logits")]
    if "frames" not in vectors or not logits:
        raise VectorsError("Give a file that holds 'frames' and 'logits_t1', 'logits_t2', ...")
    network = release_network(head, logits[0].shape[0], salt)
    computed = list(compute(network, vectors["frames"].astype(np.uint8)))
    errors = {}
    for name in stored:
        if not np.isfinite(vectors[name]).all():
            raise VectorsError(f"{name} must be finite, but holds NaN or infinity.")
        field, _, t = name.rpartition("_t")
        if int(t) >= len(computed):
            raise VectorsError(f"{name} needs a frame {t}, but there are {len(computed)} frames.")
        errors[name] = relative_error(computed[int(t)][field], vectors[name], name)
    return errors


def relative_error(
    ours: NDArray[np.float32], theirs: NDArray[np.float32], name: str = "map"
) -> float:
    """Return the largest difference over the largest magnitude of ``theirs``.

    It is infinite if ``ours`` is not finite. Raises VectorsError if the shapes differ.
    """
    if ours.shape != theirs.shape:
        raise VectorsError(f"{name} must have the shape {ours.shape}, not {theirs.shape}.")
    if not np.isfinite(ours).all():
        return float("inf")
    return float(np.abs(ours - theirs).max() / max(float(np.abs(theirs).max()), 1e-12))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m models.parity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("vectors", type=Path, help="the .npz file")
    parser.add_argument("--head", default="deeplabv3plus", choices=tuple(HEADS))
    parser.add_argument("--salt", default="a:", help="prefix of a parameter's name in its seed")
    given = parser.parse_args(arguments)
    try:
        with np.load(given.vectors) as file:
            errors = compare(dict(file), given.head, given.salt)
    except (OSError, ValueError) as error:
        print(f"models.parity: {given.vectors}: {error}", file=sys.stderr)
        return 2
    for name, found in errors.items():
        print(f"{name:<12} {found:.2e}{'' if found <= TOLERANCE else '   above tolerance'}")
    worst = max(errors.values())
    print(f"largest relative error {worst:.2e}, tolerance {TOLERANCE:.0e}")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
