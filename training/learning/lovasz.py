"""The Lovász-Softmax loss (Berman et al. 2018), which weighs classes as mIoU does.

It extends each class's Jaccard loss, 1 - IoU, from hard masks to probabilities: it is piecewise
linear, and equal to the Jaccard loss if every probability is 0 or 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.layers import exactly
from training.data.datasets import VOID


def lovasz_softmax(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of logits (B, C, H, W) for labels (B, H, W), in float32.

    It is the mean over the classes that occur, with all pixels of the batch as one picture; 0 if no
    pixel is labelled.
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
    """Return the sum of all errors, each weighted by what its pixel adds to the Jaccard loss."""
    error, order = (is_class.float() - share).abs().sort(descending=True)
    return error @ jaccard_steps(is_class[order].float())


def jaccard_steps(is_class: Tensor) -> Tensor:
    """Return what each pixel adds to 1 - IoU, (N,).

    ``is_class`` (N,) is 0 or 1, in the order in which pixels become wrong.
    """
    intersection = is_class.sum() - is_class.cumsum(0)
    union = is_class.sum() + (1 - is_class).cumsum(0)
    return torch.diff(1 - intersection / union, prepend=is_class.new_zeros(1))
