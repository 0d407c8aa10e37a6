"""Overlays of class colours on pictures. The functions are pure, and OpenCV releases the GIL."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from models.spec import ClassLabel
from server.errors import Fault
from server.frame import Labels, Pixels


def palette(classes: Sequence[ClassLabel]) -> Pixels:
    """Return the RGB colour of each class index, (N, 3) uint8."""
    return np.array([label.colour for label in classes], dtype=np.uint8).reshape(-1, 3)


def resize_labels(labels: Labels, height: int, width: int) -> Labels:
    """Return labels of size (height, width); each pixel gets the label with the nearest centre.

    Labels that have the size already are returned themselves.
    """
    if labels.shape == (height, width):
        return labels
    size = (width, height)
    return np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def overlay(
    picture: Pixels,
    labels: Labels,
    palette: Pixels,
    opacity: float = 0.5,
    is_shown: NDArray[np.uint8] | None = None,
) -> Pixels:
    """Return a new picture that blends class colours over ``picture`` with ``opacity`` (0 to 1).

    ``labels`` may have another size than ``picture``; the result has the picture's size. A label
    without a colour in ``palette`` is painted black. The picture is unchanged at pixels for whose
    label ``is_shown``, (256,) uint8, is 0.
    """
    assert 0 <= opacity <= 1, "opacity is a share"
    height, width = picture.shape[:2]
    colours = np.zeros((256, 1, 3), np.uint8)
    colours[: len(palette), 0] = palette
    fitting = resize_labels(labels, height, width)
    painted = cv2.applyColorMap(fitting, colours)
    blended = np.asarray(cv2.addWeighted(picture, 1 - opacity, painted, opacity, 0), np.uint8)
    if is_shown is None:
        return blended
    return np.asarray(cv2.copyTo(blended, cv2.LUT(fitting, is_shown), picture.copy()), np.uint8)


def with_note(picture: Pixels, note: str) -> Pixels:
    """Return a new picture with a line of ASCII text on a dark bar at its lower edge."""
    height = max(16, picture.shape[0] // 12)
    noted = picture.copy()
    noted[-height:] //= 4
    at, size = (height // 3, picture.shape[0] - height // 3), height / 40
    font, white = cv2.FONT_HERSHEY_SIMPLEX, (255, 255, 255)
    cv2.putText(noted, note, at, font, size, white, max(1, height // 20), cv2.LINE_AA)
    return noted


def encode_jpeg(picture: Pixels, quality: int = 85) -> bytes:
    """Return an RGB picture as JPEG, with ``quality`` 1 to 100."""
    swapped = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", swapped, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise Fault("A picture could not be encoded as JPEG.")
    return data.tobytes()
