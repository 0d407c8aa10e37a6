"""What a client asks for, from its fields."""

from __future__ import annotations

import pytest

from server.errors import BadRequest
from server.sinks.recorder import ARTEFACTS
from server.videos.request import VideoRequest
from server.web.video_request import video_request


def test_all_artefacts_are_made_unless_some_are_named() -> None:
    assert video_request({}, None, None) == VideoRequest("video", tuple(ARTEFACTS))
    given = {"artefacts": "summary.json,masks.mkv", "name": "b.mp4"}
    assert video_request(given, "c:\\a\\d.mp4", "k") == VideoRequest(
        "d.mp4", ("masks.mkv", "summary.json"), "k"
    )
    with pytest.raises(BadRequest, match="no artefact 'none'"):
        video_request({"artefacts": "none"}, None, None)
