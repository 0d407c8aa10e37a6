import numpy as np

from clients.python.pattern import moving_pattern, pattern_pictures
from protocol import picture_kind


def test_it_moves_and_is_the_same_everywhere() -> None:
    first, second = moving_pattern(24, 32, 0), moving_pattern(24, 32, 1)
    assert first.shape == (24, 32, 3)
    assert first.dtype == np.uint8
    assert (first != second).any()
    assert (first == moving_pattern(24, 32, 0)).all()


def test_pictures_are_jpeg_and_differ() -> None:
    pictures = pattern_pictures(24, 32, 3)
    assert [picture_kind(one) for one in pictures] == ["jpeg"] * 3
    assert len(set(pictures)) == 3
