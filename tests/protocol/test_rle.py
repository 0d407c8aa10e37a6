import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from protocol import ProtocolError, rle

some_labels = hnp.arrays(
    np.uint8,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.sampled_from([0, 1, 2, 255]),
)


def slow_counts(ones: list[int]) -> list[int]:
    """COCO's rleEncode, pixel by pixel."""
    counts, last, run = [], 0, 0
    for one in ones:
        if one != last:
            counts.append(run)
            last, run = one, 0
        run += 1
    return [*counts, run]


def slow_string(counts: list[int]) -> str:
    """COCO's rleToString, character by character."""
    text = ""
    for index, count in enumerate(counts):
        rest = count - counts[index - 2] if index > 2 else count
        more = True
        while more:
            letter = rest & 0x1F
            rest >>= 5
            more = rest != -1 if letter & 0x10 else rest != 0
            text += chr((letter | 0x20 if more else letter) + 48)
    return text


def slow_encode(labels: np.ndarray) -> dict[str, str]:
    height, width = labels.shape
    pixels = [int(labels[row, column]) for column in range(width) for row in range(height)]
    return {
        str(owner): slow_string(slow_counts([int(pixel == owner) for pixel in pixels]))
        for owner in sorted(set(pixels))
    }


@given(some_labels)
def test_encoding_equals_a_slow_independent_one(labels: np.ndarray) -> None:
    assert json.loads(rle.encode(labels)) == slow_encode(labels)


@given(some_labels)
def test_round_trip(labels: np.ndarray) -> None:
    height, width = labels.shape
    assert (rle.decode(rle.encode(labels), width, height) == labels).all()


@given(st.lists(st.integers(0, 2**27), min_size=1, max_size=12))
@example([0])
@example([15, 16, 31, 32, 1023, 1024])
def test_counts_equal_a_slow_independent_string(counts: list[int]) -> None:
    text = rle.compress(np.array(counts, np.int64))
    assert text == slow_string(counts)
    assert rle.decompress(text).tolist() == counts


def test_a_mask_by_hand() -> None:
    labels = np.array([[0, 1], [0, 1], [0, 0]], np.uint8)
    assert rle.encode(labels) == b'{"0":"032N","1":"321"}'


def test_long_runs_take_several_letters() -> None:
    labels = np.zeros((1, 3000), np.uint8)
    labels[0, 2500:] = 1
    assert json.loads(rle.encode(labels)) == slow_encode(labels)
    assert (rle.decode(rle.encode(labels), 3000, 1) == labels).all()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"[]", "must be a JSON object"),
        (b"{}", "at least one class"),
        (b'{"256":"6"}', "class indices 0..255"),
        (b'{"road":"06"}', "class indices 0..255"),
        (b'{"01":"06"}', "class indices 0..255"),
        (b'{"0":[0,6]}', "their counts"),
        (b'{"0":""}', "a character that counts do not have"),
        (b'{"0":" 6"}', "a character that counts do not have"),
        (b'{"0":"\\ud800"}', "half of a surrogate pair"),
        (b'{"0":"0P"}', "cut off"),
        (b'{"0":"0oooooooo0"}', "too large"),
        (b'{"0":"05"}', "do not add up to 6"),
        (b'{"0":"0N"}', "do not add up to 6"),
        (b'{"0":"05","1":"51"}', "class 0 do not add up"),
        (b'{"0":"051"}', "exactly once"),
        (b'{"0":"06","1":"51"}', "exactly once"),
        (b'{"0":"6"}', "exactly once"),
    ],
)
def test_a_wrong_mask_says_what_is_wrong(data: bytes, says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        rle.decode(data, 3, 2)


@given(
    st.binary(max_size=40)
    | st.dictionaries(
        st.sampled_from(["0", "1", "x"]),
        st.text(st.characters(min_codepoint=48, max_codepoint=112), max_size=8),
        max_size=3,
    ).map(lambda given: json.dumps(given).encode())
)
def test_foreign_bytes_raise_nothing_but_protocol_errors(data: bytes) -> None:
    try:
        labels = rle.decode(data, 3, 2)
    except ProtocolError as error:
        assert str(error)
    else:
        assert labels.shape == (2, 3)
