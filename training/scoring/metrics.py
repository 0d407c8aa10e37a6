"""Compute metrics from confusion matrices: dataset-level (the paper's eq. 6) or per image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.int64]


def confusion(truth: NDArray[np.uint8], guess: NDArray[np.uint8], classes: int) -> Matrix:
    """Return pixel counts (classes, classes), with truth by row.

    ``truth`` and ``guess`` are uint8 of one shape; truth labels from ``classes`` on are void.
    """
    counted = truth < classes
    pairs = truth[counted].astype(np.int64) * classes + guess[counted]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def iou(matrix: Matrix) -> NDArray[np.float64]:
    """Return the intersection over union by class; NaN for a class in neither truth nor guess."""
    hit = np.diag(matrix).astype(np.float64)
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - hit
    shares: NDArray[np.float64] = np.full_like(hit, np.nan)
    np.divide(hit, union, out=shares, where=union > 0)
    return shares


def mean_iou(matrix: Matrix) -> float:
    """Return the mean IoU over the classes that occur; NaN if nothing is labelled.

    With the matrix of one image, this is the value that the release averages over images.
    """
    shares = iou(matrix)
    return float(shares[~np.isnan(shares)].mean()) if not np.isnan(shares).all() else float("nan")


def accuracy(matrix: Matrix) -> float:
    """Return the share of labelled pixels that are right."""
    return float(np.diag(matrix).sum() / max(1, matrix.sum()))
