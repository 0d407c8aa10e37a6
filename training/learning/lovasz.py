"""The Lovász-Softmax loss (Berman et al. 2018): cross-entropy counts pixels, mIoU counts classes.

It extends each class's Jaccard loss, 1 - IoU, from hard masks to probabilities: piecewise linear,
and equal to it wherever every probability is 0 or 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.layers import exactly
from training.data.datasets import VOID


def lovasz_softmax(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits (B, C, H, W) and labels (B, H, W) -> the mean over the classes that occur, in float32.

    All pixels of the batch are one picture. 0 where none is labelled.
    """
    with exactly(logits):
        return _lovasz_softmax(logits.float(), labels)


def _lovasz_softmax(logits: Tensor, labels: Tensor) -> Tensor:
    known = (labels != VOID).flatten()
    truth = labels.flatten()[known].long()
    shares = logits.softmax(dim=1).movedim(1, -1).flatten(0, 2)[known]
    present = torch.unique(truth)
    if not len(present):
        return shares.sum()
    return torch.stack([_of_class(shares[:, c], truth == c) for c in present]).mean()


def _of_class(share: Tensor, is_class: Tensor) -> Tensor:
    """Errors, largest first, each weighed by how much its pixel adds to the Jaccard loss."""
    error, order = (is_class.float() - share).abs().sort(descending=True)
    return error @ jaccard_steps(is_class[order].float())


def jaccard_steps(is_class: Tensor) -> Tensor:
    """(N,) 0 or 1 in the order in which pixels turn wrong -> what each adds to 1 - IoU."""
    intersection = is_class.sum() - is_class.cumsum(0)
    union = is_class.sum() + (1 - is_class).cumsum(0)
    return torch.diff(1 - intersection / union, prepend=is_class.new_zeros(1))
