"""What a client asks for with an upload."""

from __future__ import annotations

import json
from dataclasses import replace

from server.videos.request import VideoRequest

REQUEST = VideoRequest("drive.mp4", ("masks.mkv", "summary.json"), "key")


def test_a_request_is_stored_as_json() -> None:
    assert VideoRequest.from_dict(json.loads(json.dumps(REQUEST.to_dict()))) == REQUEST


def test_the_fingerprint_is_that_of_the_bytes_and_of_what_is_made_of_them() -> None:
    print_ = REQUEST.fingerprint("digest")
    assert replace(REQUEST, name="other.mp4", key=None).fingerprint("digest") == print_
    assert REQUEST.fingerprint("other") != print_
    assert replace(REQUEST, artefacts=("masks.mkv",)).fingerprint("digest") != print_
