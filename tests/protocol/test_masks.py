import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import MaskEncoding, ProtocolError, decode_mask, encode_mask

LABELS = np.random.default_rng(1).integers(0, 5, (9, 13), dtype=np.uint8)
PALETTE = [(10 * i, 0, 255 - i) for i in range(5)]
LOSSLESS = [MaskEncoding.PNG, MaskEncoding.RLE, MaskEncoding.RAW]


@pytest.mark.parametrize("encoding", LOSSLESS)
def test_every_encoding_gives_the_labels_back(encoding: MaskEncoding) -> None:
    data = encode_mask(LABELS, encoding, PALETTE)
    labels = decode_mask(data, encoding, 13, 9)
    assert labels.dtype == np.uint8
    assert labels.flags.c_contiguous
    assert labels.flags.writeable
    assert (labels == LABELS).all()


@pytest.mark.parametrize("encoding", LOSSLESS)
def test_every_encoding_takes_views(encoding: MaskEncoding) -> None:
    data = encode_mask(LABELS.T[::-1], encoding)
    assert (decode_mask(data, encoding, 9, 13) == LABELS.T[::-1]).all()


def test_encodings_go_by_name_too() -> None:
    assert encode_mask(LABELS, "raw") == LABELS.tobytes()
    assert (decode_mask(LABELS.tobytes(), "raw", 13, 9) == LABELS).all()


def test_no_mask_has_no_bytes_and_no_labels() -> None:
    assert encode_mask(LABELS, "none") == b""
    with pytest.raises(ProtocolError, match="no labels"):
        decode_mask(b"", "none", 13, 9)


def test_the_palette_colours_the_png() -> None:
    data = np.frombuffer(encode_mask(LABELS, "png", PALETTE), np.uint8)
    shown = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    assert (shown == np.array(PALETTE, np.uint8)[LABELS]).all()


@pytest.mark.parametrize("size", [(0, 1), (1, -1), (2**20, 2**20)])
def test_impossible_sizes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ProtocolError, match="cannot be"):
        decode_mask(b"", "raw", *size)


@given(st.sampled_from(LOSSLESS), st.binary(max_size=30))
def test_foreign_bytes_raise_nothing_but_protocol_errors(
    encoding: MaskEncoding, data: bytes
) -> None:
    try:
        labels = decode_mask(data, encoding, 4, 3)
    except ProtocolError as error:
        assert str(error)
    else:
        assert labels.shape == (3, 4)
