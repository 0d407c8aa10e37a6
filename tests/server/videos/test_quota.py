"""Which videos are removed, and whether another one is accepted."""

from __future__ import annotations

import pytest

from server.database.video_record import Kept
from server.videos.quota import Quota, expired, fits, surplus

RUNNING = Kept("run", 30, None)
OLD, NEW = Kept("old", 50, 1.0), Kept("new", 20, 9.0)
ALL = [NEW, RUNNING, OLD]


@pytest.mark.parametrize(
    ("ttl", "gone"), [(None, []), (100.0, []), (9.0, ["old"]), (1.0, ["new", "old"])]
)
def test_videos_expire_some_time_after_their_end(ttl: float | None, gone: list[str]) -> None:
    assert expired(ALL, Quota(ttl=ttl), now=10.0) == gone


@pytest.mark.parametrize(
    ("quota", "size", "accepted"),
    [
        (Quota(), 10**15, True),
        (Quota(max_videos=4), 1, True),
        (Quota(max_videos=3), 1, False),
        (Quota(max_videos=2, oldest_first=True), 1, True),
        (Quota(max_videos=1, oldest_first=True), 1, False),
        (Quota(max_bytes=110), 10, True),
        (Quota(max_bytes=110), 11, False),
        (Quota(max_bytes=110, oldest_first=True), 80, True),
        (Quota(max_bytes=110, oldest_first=True), 81, False),
    ],
)
def test_another_video_is_accepted_if_it_fits_or_can_be_made_to(
    quota: Quota, size: int, accepted: bool
) -> None:
    assert fits(ALL, quota, size) is accepted


@pytest.mark.parametrize(
    ("quota", "gone"),
    [
        (Quota(max_videos=1), []),
        (Quota(max_videos=3, oldest_first=True), []),
        (Quota(max_videos=2, oldest_first=True), ["old"]),
        (Quota(max_videos=1, oldest_first=True), ["old", "new"]),
        (Quota(max_bytes=100, oldest_first=True), []),
        (Quota(max_bytes=99, oldest_first=True), ["old"]),
        (Quota(max_bytes=49, oldest_first=True), ["old", "new"]),
        (Quota(max_bytes=1, oldest_first=True), ["old", "new"]),
    ],
)
def test_the_videos_that_ended_first_make_room(quota: Quota, gone: list[str]) -> None:
    assert surplus(ALL, quota, spared="run") == gone


def test_the_video_that_the_room_is_for_stays() -> None:
    assert surplus([OLD, NEW], Quota(max_bytes=1, oldest_first=True), spared="old") == ["new"]
