"""A video is read from the server's JSON, and nothing else is accepted as one."""

from __future__ import annotations

from typing import Any

import pytest

from clients.python.errors import NotOurs
from clients.python.video import Video, page_of

SELF = "/v1/videos/7"
BODY = {
    "id": "7",
    "name": "a.mp4",
    "state": "succeeded",
    "progress": {"frames_done": 9, "frames_total": 10, "fps": 2.5, "eta_s": 0.4},
    "links": {"self": SELF, "events": f"{SELF}/events", "masks.mkv": f"{SELF}/masks.mkv"},
    "error": None,
}


def test_a_video() -> None:
    video = Video.from_dict(BODY)
    assert (video.id, video.name, video.state, video.ended) == ("7", "a.mp4", "succeeded", True)
    assert (video.done, video.total, video.fps, video.eta) == (9, 10, 2.5, 0.4)
    assert video.artefacts == {"masks.mkv": f"{SELF}/masks.mkv"}
    assert video.error == ""


def test_a_page() -> None:
    videos, cursor = page_of({"videos": [BODY, BODY | {"id": "6"}], "next": "6"})
    assert ([video.id for video in videos], cursor) == (["7", "6"], "6")
    assert page_of({"videos": [], "next": None}) == ([], None)


@pytest.mark.parametrize("given", [[], None, "video", {}, {"id": "7"}, {"id": "7", "links": 3}])
def test_what_is_no_video(given: Any) -> None:
    with pytest.raises(NotOurs, match="is not a video"):
        Video.from_dict(given)


@pytest.mark.parametrize("given", [[], None, "page", {}, {"videos": 3}])
def test_what_is_no_page(given: Any) -> None:
    with pytest.raises(NotOurs, match="is not a list of videos"):
        page_of(given)
