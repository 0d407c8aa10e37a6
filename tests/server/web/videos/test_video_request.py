"""A client's request, from its fields."""

from __future__ import annotations

import pytest

from models.spec import ClassLabel
from server.errors import BadRequest
from server.sinks.recorder import ALWAYS, USUAL
from server.sinks.style import Style
from server.videos.request import VideoRequest
from server.web.videos.video_request import video_request

CLASSES = tuple(ClassLabel(name, (0, 0, 0)) for name in ("road", "sky", "car"))


def test_the_usual_artefacts_are_made_unless_some_are_named() -> None:
    expected = VideoRequest("video", (*USUAL, *ALWAYS))
    assert video_request({}, None, None, CLASSES) == expected
    given = {"artefacts": "summary.json,masks.mkv", "name": "b.mp4"}
    assert video_request(given, "c:\\a\\d.mp4", "k", CLASSES) == VideoRequest(
        "d.mp4", ("masks.mkv", "summary.json", "poster.jpg"), key="k"
    )
    with pytest.raises(BadRequest, match="no artefact 'none'"):
        video_request({"artefacts": "none"}, None, None, CLASSES)


def test_classes_and_opacity_are_the_style() -> None:
    given = {"classes": "car,road", "opacity": "0.2"}
    asked = video_request(given, None, None, CLASSES)
    assert asked.style == Style(("road", "car"), 0.2)
    with pytest.raises(BadRequest, match="no class 'lake'"):
        video_request({"classes": "lake"}, None, None, CLASSES)


def test_only_an_allowed_host_is_called() -> None:
    given = {"callback_url": "https://hooks.example.org/done"}
    asked = video_request(given, None, None, CLASSES, "", ["hooks.example.org"])
    assert asked.callback_url == "https://hooks.example.org/done"
    with pytest.raises(BadRequest, match="may not call this host"):
        video_request(given, None, None, CLASSES)
