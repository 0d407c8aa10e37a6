"""Masks made visible."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from models.spec import ClassLabel
from server.sinks.overlay import encode_jpeg, overlay, palette, resize_labels

CLASSES = (ClassLabel("road", (128, 64, 128)), ClassLabel("sky", (70, 130, 180)))
COLOURS = palette(CLASSES)


def test_the_palette_is_the_classes_colours() -> None:
    assert COLOURS.tolist() == [[128, 64, 128], [70, 130, 180]] and COLOURS.dtype == np.uint8


def test_overlay_mixes_colours_by_opacity() -> None:
    picture = np.full((2, 2, 3), 100, np.uint8)
    labels = np.array([[0, 1], [1, 0]], np.uint8)
    painted = COLOURS[labels]
    np.testing.assert_array_equal(overlay(picture, labels, COLOURS, 1.0), painted)
    np.testing.assert_array_equal(overlay(picture, labels, COLOURS, 0.0), picture)
    half = overlay(picture, labels, COLOURS, 0.5).astype(int)
    assert np.abs(half - (painted.astype(int) + 100) / 2).max() <= 0.5
    assert (picture == 100).all()


def test_overlay_takes_labels_of_another_size() -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    labels = np.array([[0, 1]], np.uint8)
    mixed = overlay(picture, labels, COLOURS, 1.0)
    assert mixed.shape == picture.shape
    assert (mixed[:, :30] == COLOURS[0]).all() and (mixed[:, 30:] == COLOURS[1]).all()


def test_overlay_leaves_what_is_not_shown_as_it_is() -> None:
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    labels = np.array([[0, 1], [1, 0]], np.uint8)
    is_shown = np.zeros(256, np.uint8)
    is_shown[1] = 255
    mixed = overlay(picture, labels, COLOURS, 0.5, is_shown)
    everything = overlay(picture, labels, COLOURS, 0.5)
    sky = labels.repeat(2, 0).repeat(2, 1) == 1
    np.testing.assert_array_equal(mixed[sky], everything[sky])
    np.testing.assert_array_equal(mixed[~sky], picture[~sky])


def test_a_label_without_a_colour_is_black() -> None:
    labels = np.full((1, 1), 200, np.uint8)
    assert (overlay(np.full((1, 1, 3), 9, np.uint8), labels, COLOURS, 1.0) == 0).all()


@pytest.mark.parametrize("size", [(3, 5), (7, 13), (24, 40), (5, 40)])
def test_labels_are_those_of_the_nearest_centre(size: tuple[int, int]) -> None:
    labels = np.random.default_rng(0).integers(0, 11, (12, 20), np.uint8)
    height, width = size
    rows = (np.arange(height) + 0.5) * 12 / height
    columns = (np.arange(width) + 0.5) * 20 / width
    resized = resize_labels(labels, height, width)
    np.testing.assert_array_equal(resized, labels[rows.astype(int)][:, columns.astype(int)])
    assert resized.flags.c_contiguous and resized.dtype == np.uint8


def test_labels_of_the_right_size_are_not_copied() -> None:
    labels = np.zeros((3, 4), np.uint8)
    assert resize_labels(labels, 3, 4) is labels


def test_jpeg_keeps_red_red() -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[:, :, 0] = 250
    data = encode_jpeg(red, 95)
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert decoded is not None and np.abs(decoded.astype(int) - red).max() < 8
