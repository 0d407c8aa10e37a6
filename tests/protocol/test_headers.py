import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import (
    STAGES,
    FrameHeader,
    MaskEncoding,
    MaskHeader,
    MaskMemory,
    ProtocolError,
    StageTimes,
    pack,
    split_overlay,
    unpack_frame,
    unpack_mask,
)
from server.frame import ResetCause

seqs = st.integers(0, 2**53 - 1)
milliseconds = st.floats(0, 1e6)
frames = st.builds(
    FrameHeader, st.none() | seqs, st.none() | st.floats(-1e9, 1e9), st.booleans(), st.booleans()
)
masks = st.builds(
    MaskHeader,
    seq=seqs,
    encoding=st.sampled_from(MaskEncoding),
    width=st.integers(1, 65535),
    height=st.integers(1, 65535),
    pts=st.none() | st.floats(-1e9, 1e9),
    memory=st.builds(MaskMemory, st.integers(0, 9), st.none() | st.text()),
    ms=st.builds(StageTimes, *[milliseconds] * 5),
    batch=st.integers(1, 64),
    areas=st.dictionaries(st.text(max_size=5), st.floats(0, 1), max_size=3),
    overlay=st.integers(0, 10**6),
)


def mask(encoding: MaskEncoding, overlay: int = 0) -> MaskHeader:
    return MaskHeader(seq=1, encoding=encoding, width=2, height=1, overlay=overlay)


@given(frames)
def test_frame_headers_round_trip(header: FrameHeader) -> None:
    assert FrameHeader.from_dict(header.to_dict()) == header
    assert unpack_frame(pack(header, b"picture"), 1000) == (header, b"picture")
    assert unpack_frame(pack(header.to_dict()), 1000) == (header, b"")


@given(masks)
def test_mask_headers_round_trip(header: MaskHeader) -> None:
    assert MaskHeader.from_dict(header.to_dict()) == header
    assert unpack_mask(pack(header, b"mask"), 10**6) == (header, b"mask")
    assert unpack_mask(pack(header.to_dict()), 10**6) == (header, b"")


def test_a_frame_header_says_only_what_is_not_the_default() -> None:
    assert FrameHeader().to_dict() == {}
    assert FrameHeader(0, 0.0, True).to_dict() == {"seq": 0, "pts": 0.0, "reset": True}


def test_a_client_that_mistypes_a_field_is_told() -> None:
    with pytest.raises(ProtocolError, match="frame: unknown field 'sqe'"):
        FrameHeader.from_dict({"sqe": 1})


def test_an_older_client_passes_over_what_a_newer_server_adds() -> None:
    given = mask(MaskEncoding.PNG).to_dict() | {"depth": True}
    assert MaskHeader.from_dict(given) == mask(MaskEncoding.PNG)
    assert unpack_mask(pack(given), 1000)[0] == mask(MaskEncoding.PNG)


@pytest.mark.parametrize("cause", [*ResetCause, "eclipse"])
def test_every_cause_of_a_reset_is_read_known_or_not(cause: str) -> None:
    given = mask(MaskEncoding.PNG).to_dict() | {"memory": {"filled": 0, "reset": str(cause)}}
    assert unpack_mask(pack(given), 1000)[0].memory == MaskMemory(0, cause)


def test_a_mask_needs_its_seq_and_size() -> None:
    with pytest.raises(ProtocolError, match="mask: 'seq' is missing"):
        MaskHeader.from_dict({"encoding": "png", "width": 1, "height": 1})
    with pytest.raises(ProtocolError, match="'width' must be at least 1, not 0"):
        MaskHeader.from_dict({"seq": 1, "encoding": "png", "width": 0, "height": 1})


def test_stage_times_add_up() -> None:
    assert StageTimes(1, 2, 3, 4, 5).total == 15


def test_stages_are_named_in_their_order() -> None:
    assert STAGES == StageTimes.__struct_fields__ == ("wait", "decode", "queue", "step", "encode")


def test_stage_times_of_seconds() -> None:
    assert StageTimes.of_seconds(0.0005, 0.0123456) == StageTimes(wait=0.5, decode=12.346)


def test_the_overlay_ends_the_payload() -> None:
    header = mask(MaskEncoding.RAW, overlay=3)
    assert split_overlay(header, b"\0\1jpg") == (b"\0\1", b"jpg")
    assert split_overlay(mask(MaskEncoding.RAW), b"\0\1") == (b"\0\1", b"")
    with pytest.raises(ProtocolError, match="cannot end in 3"):
        split_overlay(header, b"\0\1")


HEADERS = st.dictionaries(
    st.sampled_from([*FrameHeader.__struct_fields__, *MaskHeader.__struct_fields__, "other"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | seqs,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
        max_leaves=4,
    ),
    max_size=6,
)


@given(HEADERS.map(lambda header: json.dumps(header).encode()))
def test_foreign_headers_raise_nothing_but_protocol_errors(text: bytes) -> None:
    data = len(text).to_bytes(4, "little") + text
    for unpack in (unpack_frame, unpack_mask):
        try:
            header, payload = unpack(data, 10**6)
        except ProtocolError as error:
            assert str(error).endswith(".")
        else:
            assert unpack(pack(header, payload), 10**6) == (header, payload)
