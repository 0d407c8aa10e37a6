"""Masks made visible: class colours over the picture. Pure; OpenCV releases the GIL."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from models.spec import ClassLabel
from server.errors import Fault
from server.frame import Labels, Pixels


def palette(classes: Sequence[ClassLabel]) -> Pixels:
    """(N, 3) uint8, the RGB colour of each class index."""
    return np.array([label.colour for label in classes], dtype=np.uint8).reshape(-1, 3)


def resize_labels(labels: Labels, height: int, width: int) -> Labels:
    """Labels (height, width), each pixel that of the nearest one by centres; no new labels.

    Itself where the size already fits.
    """
    if labels.shape == (height, width):
        return labels
    size = (width, height)
    return np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def overlay(picture: Pixels, labels: Labels, palette: Pixels, opacity: float = 0.5) -> Pixels:
    """A new picture: ``opacity`` (0..1) of each pixel is its class colour, the rest itself.

    ``labels`` may have another size than ``picture``; the result has the picture's. A label
    without a colour in ``palette`` is painted black.
    """
    assert 0 <= opacity <= 1, "opacity is a share"
    height, width = picture.shape[:2]
    colours = np.zeros((256, 1, 3), np.uint8)
    colours[: len(palette), 0] = palette
    painted = cv2.applyColorMap(resize_labels(labels, height, width), colours)
    return np.asarray(cv2.addWeighted(picture, 1 - opacity, painted, opacity, 0), np.uint8)


def encode_jpeg(picture: Pixels, quality: int = 85) -> bytes:
    """An RGB picture as JPEG, ``quality`` 1..100."""
    swapped = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", swapped, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise Fault("A picture could not be encoded as JPEG.")
    return data.tobytes()
