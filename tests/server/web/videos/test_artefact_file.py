"""Range headers: parts of a file, nothing to obey, or nothing to be had."""

from __future__ import annotations

import pytest
from starlette.responses import RangeNotSatisfiable

from server.web.videos.artefact_file import Part, requested_parts


@pytest.mark.parametrize(
    ("header", "parts"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=10-19", [(10, 20)]),
        ("BYTES = 10-19", [(10, 20)]),
        ("bytes=10-", [(10, 100)]),
        ("bytes=-5", [(95, 100)]),
        ("bytes=-500", [(0, 100)]),
        ("bytes=99-500", [(99, 100)]),
        ("bytes=0-" + "9" * 5000, [(0, 100)]),
        ("bytes=-" + "9" * 5000, [(0, 100)]),
        ("bytes=" + "0" * 5000 + "1-2", [(1, 3)]),
        ("bytes=50-59, 0-9", [(0, 10), (50, 60)]),
        ("bytes=0-9,5-19 ,, 20-29", [(0, 30)]),
        ("bytes=0-0,-1", [(0, 1), (99, 100)]),
        ("bytes=0-9,100-", [(0, 10)]),
        ("bytes=-0,0-9", [(0, 10)]),
        ("bytes=" + ",".join(["0-"] * 20), [(0, 100)]),
    ],
)
def test_parts_are_within_the_file_sorted_and_apart(header: str, parts: list[Part]) -> None:
    assert requested_parts(header, 100, 20) == parts


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-3",
        "bytes=500-300",
        "bytes=1-2-3",
        "bytes=--5",
        "bytes=+1-2",
        "bytes=1_0-20",
        "bytes=\u0661-\u0662",
        "bytes=0x1-0x2",
        "bytes=1.0-2.0",
        "bytes=1 0-20",
        "bytes=0-9,nonsense",
        "bytes:0-9",
        "items=0-1",
        "pages=1-2",
        "bytes=" + ",".join(["0-"] * 21),
    ],
)
def test_what_is_malformed_has_other_units_or_is_too_much_is_ignored(header: str) -> None:
    assert requested_parts(header, 100, 20) == []


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ("bytes=100-", 100),
        ("bytes=100-200", 100),
        ("bytes=-0", 100),
        ("bytes=100-,200-", 100),
        ("bytes=" + "9" * 5000 + "-", 100),
        ("bytes=0-", 0),
        ("bytes=-1", 0),
    ],
)
def test_nothing_within_the_file_is_not_satisfiable(header: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        requested_parts(header, size, 20)
    assert caught.value.max_size == size
