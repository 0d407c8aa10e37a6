"""A client's request with an upload."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from server.sinks.style import DEFAULT, Style
from server.videos.request import VideoRequest

REQUEST = VideoRequest("drive.mp4", ("masks.mkv", "summary.json"), key="key")


@pytest.mark.parametrize("style", [DEFAULT, Style(("road",), 0.25)])
def test_a_request_is_stored_as_json(style: Style) -> None:
    request = replace(REQUEST, style=style)
    assert VideoRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request


def test_a_request_from_before_there_were_styles_has_the_default() -> None:
    stored = {"name": "drive.mp4", "artefacts": ["masks.mkv", "summary.json"], "key": "key"}
    assert VideoRequest.from_dict(stored) == REQUEST
    asked = "digest\nmasks.mkv\nsummary.json"
    assert REQUEST.fingerprint("digest") == hashlib.sha256(asked.encode()).hexdigest()


def test_the_fingerprint_is_that_of_the_bytes_and_of_what_is_made_of_them() -> None:
    print_ = REQUEST.fingerprint("digest")
    assert replace(REQUEST, name="other.mp4", key=None).fingerprint("digest") == print_
    assert REQUEST.fingerprint("other") != print_
    assert replace(REQUEST, artefacts=("masks.mkv",)).fingerprint("digest") != print_
    assert replace(REQUEST, style=Style(opacity=0.4)).fingerprint("digest") != print_
    with_poster = (*REQUEST.artefacts, "poster.jpg")
    assert replace(REQUEST, artefacts=with_poster).fingerprint("digest") == print_
