"""Parts that viewers read are removed after the last viewer has finished, and only once."""

from __future__ import annotations

from server.videos.viewers import Viewers


def test_what_nobody_reads_is_removed_at_once() -> None:
    viewers, removed = Viewers(), list[str]()
    viewers.begin("other")
    viewers.after_last("video", lambda: removed.append("video"))
    assert removed == ["video"]


def test_what_is_read_is_removed_after_the_last_viewer() -> None:
    viewers, removed = Viewers(), list[str]()
    viewers.begin("video")
    viewers.begin("video")
    viewers.after_last("video", lambda: removed.append("video"))
    viewers.end("video")
    assert removed == []
    viewers.end("video")
    assert removed == ["video"]
    viewers.begin("video")
    viewers.end("video")
    assert removed == ["video"], "it is removed once"
    assert repr(viewers) == "<Viewers {} removals=[]>"
