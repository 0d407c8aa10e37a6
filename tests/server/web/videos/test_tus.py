"""The headers of tus."""

from __future__ import annotations

import pytest

from server.errors import BadRequest
from server.web.videos.tus import MAX_METADATA, expires, metadata


@pytest.mark.parametrize(
    ("header", "entries"),
    [
        (None, {}),
        ("", {}),
        ("filename ZHJpdmUubXA0", {"filename": "drive.mp4"}),
        ("filename c3RyYcOfZQ==, is_private", {"filename": "straße", "is_private": ""}),
    ],
)
def test_metadata_is_decoded(header: str | None, entries: dict[str, str]) -> None:
    assert metadata(header) == entries


@pytest.mark.parametrize(
    "header", ["a b c", "a !", "a /w==", ",".join(f"a{n}" for n in range(MAX_METADATA + 1))]
)
def test_malformed_metadata_is_refused(header: str) -> None:
    with pytest.raises(BadRequest):
        metadata(header)


def test_times_are_those_of_http() -> None:
    assert expires(1614265330.7) == "Thu, 25 Feb 2021 15:02:10 GMT"
