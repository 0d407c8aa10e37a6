"""Adjust a classifier's bias so that it predicts rare classes less often.

``python -m training.adjust MODEL --data DIR --out OUT``

Class weights and the Lovász loss teach a network to find rare classes, but also to predict them in
wrong places. This command undoes part of that after training and at no cost: it subtracts
``by * log(median share / share)`` from the bias of each class, with the shares of the classes'
pixels in train (logit adjustment, Menon et al. 2021, eq. 9, with the opposite sign). ``--by`` sets
the strength; the default is the one of STRENGTHS with the best mIoU with memory on ``--split``.

MODEL is a checkpoint (.pt) or an exported file (.onnx); OUT is of the same kind.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from export.files import write_whole
from models import checkpoint, described, source
from models.build import Recipe
from models.segmenter import Segmenter
from server.sources.pictures.picture import fit
from training.data.datasets import FINDERS, SPLITS, Clip, open_dataset, read_image, read_label
from training.data.labels import DataError
from training.evaluate import check_classes
from training.learning.beginning import balance
from training.scoring.metrics import confusion, mean_iou
from training.scoring.passes import at_truth
from training.settings import TrainSettings

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
BIAS = "head.classify.bias"


def rarity(clips: Sequence[Clip], recipe: Recipe) -> Tensor:
    """Return log(median share / share) of each class, (classes,): above 0 for rare classes."""
    return balance(clips, recipe, TrainSettings(class_balance=1.0)).log()


@torch.no_grad()
def sweep(
    network: Segmenter, clips: Sequence[Clip], size: tuple[int, int], rare: Tensor
) -> dict[float, float]:
    """Return the mean IoU, 0..1, with memory at ``size`` (height, width) for each of STRENGTHS.

    ``rare`` (classes,) is the result of :func:`rarity`.
    """
    classes = len(rare)
    matrices = {by: np.zeros((classes, classes), np.int64) for by in STRENGTHS}
    for clip in clips:
        memory = network.encoder.blank(1, *size, network.mean)
        for sample in clip.samples:
            frame = torch.from_numpy(fit(read_image(sample), *size)[None])
            logits, features = network.logits(network.normalise(frame), memory)
            memory, truth = features.memory, read_label(sample)
            for by in STRENGTHS:
                mask = (logits[0] - by * rare[:, None, None]).argmax(dim=0).to(torch.uint8)
                matrices[by] += confusion(truth, at_truth(mask.numpy(), truth), classes)
    return {by: mean_iou(matrix) for by, matrix in matrices.items()}


def best(found: Mapping[float, float]) -> float:
    """Return the strength with the highest mean IoU; among equal ones the smallest."""
    return max(sorted(found), key=found.__getitem__)


def write_adjusted(path: Path, out: Path, network: Segmenter, less: Tensor) -> None:
    """Write the model of ``path`` with ``less`` (classes,) subtracted from its classifier's bias.

    ``network`` is the network of ``path``; it is adjusted in place. Raises DataError if the file
    does not store that bias in float32, OSError if a file cannot be read or written.
    """
    with torch.no_grad():
        network.get_parameter(BIAS).sub_(less)
    if path.suffix == ".onnx":
        _write_artefact(path, out, network, less)
        return
    kept = checkpoint.read(path)
    rest = {n: v for n, v in kept.items() if n not in {"format", "recipe", "weights", "training"}}
    recipe = Recipe.from_dict(kept["recipe"])
    checkpoint.save(out, recipe, network.state_dict(), **rest | {"adjusted": less.tolist()})


def _write_artefact(path: Path, out: Path, network: Segmenter, less: Tensor) -> None:
    model = described.read(path)
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    if BIAS not in held or held[BIAS].data_type != onnx.TensorProto.FLOAT:
        raise DataError(
            f"{path} stores its classifier's bias in fewer bits; adjust the file that it was "
            "exported from."
        )
    bias = numpy_helper.to_array(held[BIAS]) - less.numpy()
    held[BIAS].CopyFrom(numpy_helper.from_array(bias, BIAS))
    spec = described.read_spec(model)
    described.describe(
        model, replace(spec, fingerprint=checkpoint.fingerprint(network.state_dict()))
    )
    write_whole(out, model.SerializeToString())


def carry_out(given: argparse.Namespace) -> None:
    """Adjust the requested model and write it.

    Raises ValueError or OSError, with one sentence, if that is impossible.
    """
    if given.out.suffix != given.model.suffix:
        raise DataError(f"Give --out a name that ends in {given.model.suffix}, as the model's.")
    network, recipe, spec = source.load(given.model)
    dataset = open_dataset(given.dataset, given.data)
    check_classes(spec.classes, dataset)
    rare, by = rarity(dataset.clips("train"), recipe), given.by
    if by is None:
        found = sweep(network, dataset.clips(given.split), (spec.height, spec.width), rare)
        for strength, miou in found.items():
            print(f"by {strength:.1f}: {given.split} mIoU {100 * miou:.2f} %")
        by = best(found)
    write_adjusted(given.model, given.out, network, by * rare)
    print(f"written: {given.out}, adjusted by {by}")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m training.adjust",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="a .pt checkpoint or an exported .onnx")
    parser.add_argument("--data", type=Path, required=True, help="the dataset's folder")
    parser.add_argument("--dataset", default="camvid", choices=tuple(FINDERS))
    parser.add_argument(
        "--split", default="val", choices=SPLITS, help="the split on which the strength is chosen"
    )
    parser.add_argument("--by", type=float, help="the strength (default: the best on --split)")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--threads", type=int, help="CPU threads")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    given = parse(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    try:
        carry_out(given)
    except (ValueError, OSError) as error:
        print(f"training.adjust: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
