from enum import StrEnum

import pytest

from protocol.errors import ProtocolError
from protocol.fields import MAX_INTEGER, Fields


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


def fields(**given: object) -> Fields:
    return Fields(given, "thing")


def test_an_absent_field_and_null_read_as_none() -> None:
    for empty in (fields(), fields(a=None)):
        assert empty.integer("a") is None
        assert empty.number("a") is None
        assert empty.text("a") is None
        assert empty.word("a", Size) is None
        assert empty.mapping("a") is None
        assert empty.flag("a") is False
        assert empty.numbers("a") == {}


def test_what_is_needed_must_be_there() -> None:
    assert fields(a=0).need("a", 0) == 0
    with pytest.raises(ProtocolError, match="thing: 'a' is missing"):
        fields().need("a", None)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (True, "a whole number, not true or false"),
        (1.0, "a whole number, not a number"),
        ("1", "a whole number, not a text"),
        ([], "not an array"),
        (-1, "must lie in 0.."),
        (MAX_INTEGER + 1, "must lie in 0.."),
        (10**400, "must lie in 0.."),
    ],
)
def test_integers_are_strict(value: object, says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        fields(a=value).integer("a")


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -float("inf"), 10**400, 1e300, True, "1", {}]
)
def test_numbers_are_finite_and_no_bools(value: object) -> None:
    with pytest.raises(ProtocolError, match="'a' must"):
        fields(a=value).number("a")


def test_a_whole_number_is_a_number() -> None:
    assert fields(a=3).number("a") == 3.0


@pytest.mark.parametrize("value", [0, 1, "true", []])
def test_flags_are_bools(value: object) -> None:
    with pytest.raises(ProtocolError, match="true or false"):
        fields(a=value).flag("a")


def test_words_come_from_their_list() -> None:
    assert fields(a="small").word("a", Size) is Size.SMALL
    with pytest.raises(ProtocolError, match="one of small, large, not 'medium'"):
        fields(a="medium").word("a", Size)


def test_texts_are_bounded() -> None:
    with pytest.raises(ProtocolError, match="longer than"):
        fields(a="x" * 5000).text("a")
    with pytest.raises(ProtocolError, match="must be a text, not a number"):
        fields(a=1).text("a")


def test_arrays_and_objects_of_numbers_name_the_wrong_item() -> None:
    assert fields(a=[1, 2]).integers("a") == (1, 2)
    assert fields(a={"x": 0.5}).numbers("a") == {"x": 0.5}
    with pytest.raises(ProtocolError, match=r"thing\.a: '1' must be a whole number"):
        fields(a=[1, "2"]).integers("a")
    with pytest.raises(ProtocolError, match=r"thing\.a: 'x' is missing"):
        fields(a={"x": None}).numbers("a")
    with pytest.raises(ProtocolError, match="an array of whole numbers, not null"):
        fields().integers("a")


def test_what_nobody_read_is_unknown() -> None:
    given = fields(a=1, b=2)
    given.integer("a")
    with pytest.raises(ProtocolError, match="unknown field 'b'; known are a"):
        given.refuse_unknown()
