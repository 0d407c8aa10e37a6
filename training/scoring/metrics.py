"""Metrics from confusion matrices: dataset-level (the paper's eq. 6) and image by image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.int64]


def confusion(truth: NDArray[np.uint8], guess: NDArray[np.uint8], classes: int) -> Matrix:
    """(classes, classes) counts, truth by row; labels from ``classes`` on are void."""
    counted = truth < classes
    pairs = truth[counted].astype(np.int64) * classes + guess[counted]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def iou(matrix: Matrix) -> NDArray[np.float64]:
    """Intersection over union by class; NaN for one that neither truth nor guess has."""
    hit = np.diag(matrix).astype(np.float64)
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - hit
    shares: NDArray[np.float64] = np.full_like(hit, np.nan)
    np.divide(hit, union, out=shares, where=union > 0)
    return shares


def mean_iou(matrix: Matrix) -> float:
    """Mean over the classes that occur; NaN where nothing is labelled.

    Of one image's matrix: what the release averages over images.
    """
    shares = iou(matrix)
    return float(shares[~np.isnan(shares)].mean()) if not np.isnan(shares).all() else float("nan")


def accuracy(matrix: Matrix) -> float:
    """Share of labelled pixels that are right."""
    return float(np.diag(matrix).sum() / max(1, matrix.sum()))
