"""Stored and handled errors keep nothing else alive."""

from __future__ import annotations

import pytest

from server.errors import BadVideo, Fault, MastreamError, detached, strip


def caught(error: Exception) -> Exception:
    """Return the error as it is after a raise: with a traceback, a cause and a context."""
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise error from inner
    except Exception as outer:
        return outer


@pytest.mark.parametrize(
    ("error", "equal"),
    [
        (BadVideo("There is no picture."), BadVideo("There is no picture.")),
        (ZeroDivisionError("private words"), Fault("The server failed; its log says why.")),
    ],
)
def test_a_detached_error_says_the_same_and_refers_to_nothing(
    error: Exception, equal: MastreamError
) -> None:
    kept = detached(caught(error))
    assert (type(kept), str(kept)) == (type(equal), str(equal))
    assert (kept.__traceback__, kept.__cause__, kept.__context__) == (None, None, None)


def test_stripping_reaches_the_members_of_a_group_and_all_causes() -> None:
    member = caught(ValueError("outer"))
    inner = member.__cause__
    group = caught(ExceptionGroup("some", [member]))
    strip(group)
    for error in (group, member, inner):
        assert error is not None
        assert (error.__traceback__, error.__cause__, error.__context__) == (None, None, None)
