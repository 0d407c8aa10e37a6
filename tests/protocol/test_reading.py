import json
from typing import Any

import pytest

from protocol import (
    Dropped,
    FrameHeader,
    GoingAway,
    MaskHeader,
    Open,
    ProtocolError,
    Ready,
    StageTimes,
    pack,
    parse_client,
    parse_server,
    unpack_frame,
    unpack_mask,
)
from protocol.fields import MAX_INTEGER

MASK = {"seq": 1, "encoding": "png", "width": 2, "height": 3}
READY = {"session": "s", "limits": {"max_message_bytes": 1}, "window": 1}


def refusal(kind: Any, given: dict[str, Any]) -> str:
    with pytest.raises(ProtocolError) as caught:
        kind.from_dict(given)
    assert (caught.value.code, caught.value.close) == ("bad_request", 4400)
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (True, "a whole number, not true or false."),
        (1.0, "a whole number, not 1.0."),
        ("1", "a whole number, not a text."),
        ([], "a whole number, not an array."),
        ({}, "a whole number, not an object."),
        (-1, "at least 0, not -1."),
        (MAX_INTEGER + 1, "at most 9007199254740991, not 9007199254740992."),
        (10**400, "at most 9007199254740991."),
    ],
)
def test_whole_numbers_are_strict(value: object, says: str) -> None:
    assert refusal(FrameHeader, {"seq": value}) == f"frame: 'seq' must be {says}"


def test_a_number_too_long_to_be_printed_is_refused() -> None:
    says = "frame: 'seq' must be at most 9007199254740991."
    assert refusal(FrameHeader, {"seq": 10**5000}) == says


@pytest.mark.parametrize("digits", [25, 400, 4000, 5000, 60000])
def test_numbers_of_many_digits_are_refused_in_words(digits: int) -> None:
    for name in ("seq", "pts"):
        header = b'{"%s":%s}' % (name.encode(), b"9" * digits)
        with pytest.raises(ProtocolError) as caught:
            unpack_frame(len(header).to_bytes(4, "little") + header, 10**6)
        assert str(caught.value) in {
            f"frame: {name!r} must be at most {9007199254740991 if name == 'seq' else 10**15}.",
            f"frame: {name!r} is a number out of range.",
            "The header is not JSON that can be read: a number has too many digits.",
        }


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (float("nan"), "at least -1000000000000000"),
        (float("inf"), "at most 1000000000000000"),
        (-float("inf"), "at least -1000000000000000"),
        (1e300, "at most 1000000000000000"),
        (True, "a number, not true or false"),
        ("1", "a number, not a text"),
        ({}, "a number, not an object"),
    ],
)
def test_numbers_are_finite_and_no_bools(value: object, says: str) -> None:
    assert refusal(FrameHeader, {"pts": value}).startswith(f"frame: 'pts' must be {says}")


def test_a_whole_number_is_a_number() -> None:
    assert refusal(FrameHeader, {"pts": 10**400}) == "frame: 'pts' is a number out of range."
    assert FrameHeader.from_dict({"pts": 3}) == FrameHeader(pts=3.0)
    assert unpack_frame(pack({"pts": 3}), 100)[0] == FrameHeader(pts=3.0)


@pytest.mark.parametrize(
    ("value", "says"), [(0, "not 0"), (1, "not 1"), ("true", "not a text"), ([], "not an array")]
)
def test_flags_are_true_or_false(value: object, says: str) -> None:
    says = f"open: 'overlay' must be true or false, {says}."
    assert refusal(Open, {"overlay": value}) == says


def test_words_come_from_their_list() -> None:
    says = "open: 'policy' must be one of latest, every, not 'all'."
    assert refusal(Open, {"policy": "all"}) == says
    assert refusal(Open, {"policy": 7}) == "open: 'policy' must be a text, not 7."
    assert len(refusal(Open, {"policy": "x" * 4000})) < 100


def test_texts_are_bounded() -> None:
    says = "open: 'resume' must have at most 4096 characters."
    assert refusal(Open, {"resume": "x" * 5000}) == says
    assert Open.from_dict({"resume": "é" * 4096}).resume == "é" * 4096


def test_arrays_and_objects_of_numbers() -> None:
    assert Dropped.from_dict({"seqs": [1, 2], "cause": "stale"}).seqs == (1, 2)
    says = "dropped.seqs: '1' must be a whole number, not a text."
    assert refusal(Dropped, {"seqs": [1, "2"], "cause": "stale"}) == says
    assert refusal(Dropped, {"seqs": 3}) == "dropped: 'seqs' must be an array, not 3."
    says = "mask.areas: a value must be a number, not null."
    assert refusal(MaskHeader, MASK | {"areas": {"sky": 0.5, "road": None}}) == says
    says = "mask.areas: a value must be at most 1000000000000000."
    assert refusal(MaskHeader, MASK | {"areas": {"sky": 1e300}}) == says
    assert refusal(MaskHeader, MASK | {"ms": 3}) == "mask: 'ms' must be an object, not 3."


def test_fields_inside_are_named_with_their_way() -> None:
    model: dict[str, Any] = {"classes": [{"name": "road", "colour": [1, 2, 256]}]}
    says = "ready.model.classes.0.colour: '2' must be at most 255, not 256."
    assert refusal(Ready, READY | {"model": model}) == says
    says = "ready.limits: 'max_message_bytes' is missing."
    assert refusal(Ready, READY | {"model": {"classes": []}, "limits": {}}) == says
    says = "mask.ms: 'wait' must be a number, not a text."
    assert refusal(MaskHeader, MASK | {"ms": {"wait": "1"}}) == says


def test_null_counts_as_absent() -> None:
    nothing = dict.fromkeys(Open.__struct_fields__)
    assert Open.from_dict(nothing) == Open()
    assert parse_client(json.dumps({"type": "open"} | nothing)) == Open()
    empty = dict.fromkeys(FrameHeader.__struct_fields__)
    assert unpack_frame(pack(empty), 1000)[0] == FrameHeader()
    inner = {"memory": None, "batch": None, "areas": None, "overlay": None, "ms": {"wait": None}}
    assert unpack_mask(pack(MASK | inner), 1000)[0] == MaskHeader.from_dict(MASK)
    assert MaskHeader.from_dict(MASK).ms == StageTimes()
    assert parse_server('{"type":"going_away","reconnect_after_ms":null}') == GoingAway(0)


def test_null_does_not_stand_for_what_is_needed() -> None:
    assert refusal(Dropped, {"seqs": None, "cause": "newer"}) == "dropped: 'seqs' is missing."
    assert refusal(MaskHeader, MASK | {"seq": None}) == "mask: 'seq' is missing."


def test_unknown_fields_of_a_client_are_refused_null_or_not() -> None:
    says = "frame: unknown field 'sqe'; known are pts, replay, reset, seq."
    assert refusal(FrameHeader, {"sqe": 1}) == says
    assert refusal(FrameHeader, {"sqe": None, "seq": -1}) == says
    with pytest.raises(ProtocolError, match=r"end: unknown field 'now'; known are none\.$"):
        parse_client('{"type":"end","now":null}')


@pytest.mark.parametrize("kind", ["end", "reset", "ping", "pong", "going_away"])
def test_unknown_fields_of_a_server_are_passed_over(kind: str) -> None:
    text = f'{{"type":"{kind}","later":[1,{{"a":null}}],"more":null}}'
    assert parse_server(text) == parse_server(f'{{"type":"{kind}"}}')


def test_of_a_field_given_twice_the_last_counts() -> None:
    assert parse_client('{"type":"open","policy":"every","policy":"latest"}') == Open()
    header = b'{"seq":-1,"seq":2}'
    data = len(header).to_bytes(4, "little") + header
    assert unpack_frame(data, 100) == (FrameHeader(2), b"")


@pytest.mark.parametrize("text", ['{"type":"open","resume":"\\ud800"}', '{"type":"\ud800"}'])
def test_half_of_a_surrogate_pair_is_no_text(text: str) -> None:
    with pytest.raises(ProtocolError, match="half of a surrogate pair"):
        parse_client(text)


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert parse_client('{"type":"open","resume":"\\ud83d\\ude00"}') == Open(resume="\U0001f600")
    assert "surrogate" in refusal(Open, {"resume": "\ud800", "policy": "\ud800"})


def test_fields_nested_too_deeply_are_refused_even_if_unknown() -> None:
    deep = "[" * 30000 + "]" * 30000
    with pytest.raises(ProtocolError, match="nested too deeply"):
        parse_server(f'{{"type":"end","later":{deep}}}')
