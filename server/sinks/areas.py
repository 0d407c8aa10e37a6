"""The share of each class in a mask."""

from __future__ import annotations

import cv2

from server.frame import Labels


def areas(labels: Labels, names: list[str]) -> dict[str, float]:
    """Return each class's share of the mask, 0 to 1, rounded to six digits."""
    counts = cv2.calcHist([labels], [0], None, [256], [0, 256]).ravel()
    shares = counts[: len(names)].astype(float) / labels.size
    return dict(zip(names, shares.round(6).tolist(), strict=True))
