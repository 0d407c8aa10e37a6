"""Conditional requests: their forms, and which of them decides."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from server.web.videos.preconditions import Verdict, judge

ETAG, MODIFIED = '"a,b"', "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE, AFTER = "Sun, 06 Nov 1994 08:49:36 GMT", "Mon, 07 Nov 1994 08:49:37 GMT"
SEND, NOT_MODIFIED, FAILED = Verdict.SEND, Verdict.NOT_MODIFIED, Verdict.FAILED


def judged(*lines: tuple[str, str]) -> Verdict:
    raw = [(name.lower().encode(), text.encode("latin-1")) for name, text in lines]
    return judge(Headers(raw=raw), ETAG, MODIFIED)


@pytest.mark.parametrize(
    ("tags", "verdict"),
    [
        ("*", NOT_MODIFIED),
        (" * ", NOT_MODIFIED),
        (ETAG, NOT_MODIFIED),
        (f"W/{ETAG}", NOT_MODIFIED),
        (f'"x", W/"y" ,, {ETAG}', NOT_MODIFIED),
        (f'"x",{ETAG},"y"', NOT_MODIFIED),
        ('"a"', SEND),
        ('"a", "b"', SEND),
        ('"x,a,b"', SEND),
        ("a,b", SEND),
        ('"*"', SEND),
        ('"\xe9"', SEND),
        ("", SEND),
    ],
)
def test_if_none_match_compares_whole_tags_weakly(tags: str, verdict: Verdict) -> None:
    assert judged(("If-None-Match", tags)) is verdict


@pytest.mark.parametrize(
    ("tags", "verdict"),
    [
        ("*", SEND),
        (ETAG, SEND),
        (f'"x", {ETAG}', SEND),
        (f"W/{ETAG}", FAILED),
        ('"a"', FAILED),
        ("a,b", FAILED),
        ("", FAILED),
    ],
)
def test_if_match_compares_whole_tags_strongly(tags: str, verdict: Verdict) -> None:
    assert judged(("If-Match", tags)) is verdict


@pytest.mark.parametrize(
    ("name", "older", "younger"),
    [
        ("If-Modified-Since", SEND, NOT_MODIFIED),
        ("If-Unmodified-Since", FAILED, SEND),
    ],
)
def test_dates_compare_by_the_second(name: str, older: Verdict, younger: Verdict) -> None:
    assert judged((name, BEFORE)) is older
    assert judged((name, MODIFIED)) is younger
    assert judged((name, AFTER)) is younger
    assert judged((name, "Sunday, 06-Nov-94 08:49:37 GMT")) is younger
    assert judged((name, "Sun Nov  6 08:49:37 1994")) is younger
    for nonsense in ("", "yesterday", "0", "Sun, 99 Nov 1994 08:49:37 GMT", "9" * 5000):
        assert judged((name, nonsense)) is SEND


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        ([("If-Match", '"x"'), ("If-None-Match", ETAG)], FAILED),
        ([("If-Match", ETAG), ("If-None-Match", ETAG)], NOT_MODIFIED),
        ([("If-Match", ETAG), ("If-Unmodified-Since", BEFORE)], SEND),
        ([("If-Unmodified-Since", BEFORE), ("If-None-Match", ETAG)], FAILED),
        ([("If-None-Match", '"x"'), ("If-Modified-Since", AFTER)], SEND),
        ([("If-None-Match", ETAG), ("If-Modified-Since", BEFORE)], NOT_MODIFIED),
        ([("If-None-Match", '"x"'), ("If-None-Match", ETAG)], NOT_MODIFIED),
        ([("If-Match", '"x"'), ("If-Match", ETAG)], SEND),
        ([], SEND),
    ],
)
def test_conditions_have_an_order(lines: list[tuple[str, str]], verdict: Verdict) -> None:
    assert judged(*lines) is verdict
