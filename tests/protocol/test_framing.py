import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import MAX_HEADER_BYTES, CloseCode, ProtocolError, pack, picture_kind, unpack

JPEG = b"\xff\xd8\xff\xe0"
PNG = b"\x89PNG\r\n\x1a\n"
WEBP = b"RIFF\x10\x00\x00\x00WEBPVP8 "

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def test_a_message_is_length_header_payload() -> None:
    assert pack({"seq": 7}, b"pic") == b"\x09\x00\x00\x00" + b'{"seq":7}' + b"pic"
    assert unpack(b"\x09\x00\x00\x00" + b'{"seq":7}' + b"pic", 100) == ({"seq": 7}, b"pic")


def test_a_header_of_no_bytes_is_empty() -> None:
    assert unpack(b"\x00\x00\x00\x00pic", 100) == ({}, b"pic")


@pytest.mark.parametrize(
    ("data", "kind"), [(JPEG, "jpeg"), (PNG, "png"), (WEBP, "webp"), (b"RIFF1234WAVE", None)]
)
def test_a_bare_picture_is_a_frame_with_an_empty_header(data: bytes, kind: str | None) -> None:
    assert picture_kind(data) == kind
    if kind:
        assert unpack(data, 100) == ({}, data)


def test_the_longest_header_passes_and_one_byte_more_is_1009() -> None:
    longest = {"a": "x" * (MAX_HEADER_BYTES - len('{"a":""}'))}
    assert unpack(pack(longest), 10**6).header == longest
    with pytest.raises(ProtocolError) as caught:
        unpack((MAX_HEADER_BYTES + 1).to_bytes(4, "little") + b"{}", 10**6)
    assert caught.value.close == CloseCode.TOO_BIG
    with pytest.raises(ProtocolError, match="over the limit"):
        pack({"a": "x" * MAX_HEADER_BYTES})


def test_a_message_over_the_limit_is_1009_even_as_a_bare_picture() -> None:
    assert unpack(JPEG, len(JPEG)).payload == JPEG
    with pytest.raises(ProtocolError, match="4 bytes is over the limit of 3") as caught:
        unpack(JPEG, 3)
    assert (caught.value.close, caught.value.code) == (CloseCode.TOO_BIG, "too_large")


@pytest.mark.parametrize(
    ("data", "says", "close"),
    [
        (b"", "too short", 4400),
        (b"\x05\x00\x00\x00{}", "ends before", 4400),
        (b"\x02\x00\x00\x00[]", "not an array", 4400),
        (b"\x01\x00\x00\x007", "not a number", 4400),
        (b"\x02\x00\x00\x00{,", "not JSON", 4400),
        (b'\x09\x00\x00\x00{"a":NaN}', "NaN is not a JSON number", 4400),
        (b"\x01\x00\x00\x00\xff", "not UTF-8", 1007),
        ((60000).to_bytes(4, "little") + b"[" * 60000, "nested too deeply", 4400),
        ((60007).to_bytes(4, "little") + b'{"a": ' + b"9" * 60000 + b"}", "too many digits", 4400),
        (b"\x03\x00\x00\x00\xef\xbb\xbf", r"line 1, column 1\.$", 4400),
        (b'\x05\x00\x00\x00{"a"}', r"line 1, column 5\.$", 4400),
    ],
)
def test_a_broken_header_says_what_is_wrong(data: bytes, says: str, close: int) -> None:
    with pytest.raises(ProtocolError, match=says) as caught:
        unpack(data, 10**6)
    assert caught.value.close == close
    for words in ("sys.", "set_int_max_str_digits", "utf-8-sig", "Expecting", "char "):
        assert words not in str(caught.value), "these are Python's own words"


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=4), st.binary(max_size=64))
def test_round_trip(header: dict[str, object], payload: bytes) -> None:
    assert unpack(pack(header, payload), 10**6) == (header, payload)


@given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda b: b"\x08\0\0\0" + b))
def test_foreign_bytes_raise_nothing_but_protocol_errors(data: bytes) -> None:
    try:
        message = unpack(data, 48)
    except ProtocolError as error:
        assert str(error)
    else:
        assert isinstance(message.header, dict)
        assert data.endswith(message.payload)
