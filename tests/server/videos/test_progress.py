"""The progress of a video."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from server.database.video_record import VideoRecord, VideoState
from server.frame import VideoInfo
from server.videos.progress import Progress, progress, video_now

RECORD = VideoRecord(
    id="v",
    name="clip",
    model="fake",
    size=1,
    info=VideoInfo(64, 48, 100, 4.0, Fraction(25), Fraction(1, 1000)),
    artefacts=(),
    fingerprint="f",
)
RUNNING = replace(RECORD, state=VideoState.RUNNING, started=10.0, attempts=1)


def test_progress_reports_rate_and_what_is_left() -> None:
    assert progress(25, 100, 5.0) == Progress(25, 100, 5.0, 15.0)


def test_what_is_not_known_is_none() -> None:
    assert progress(0, 100, 5.0) == Progress(0, 100)
    assert progress(25, None, 5.0) == Progress(25, None, 5.0)
    assert progress(25, 100, 0.0) == Progress(25, 100)


def test_more_frames_than_announced_are_never_less_than_nothing_left() -> None:
    assert progress(110, 100, 10.0).eta_s == 0.0


def test_a_running_video_is_as_far_as_what_runs() -> None:
    assert video_now(RUNNING, 25, now=15.0).progress == Progress(25, 100, 5.0, 15.0)
    assert video_now(RUNNING, None, now=15.0).progress == Progress(0, 100)


def test_a_video_that_ended_is_as_far_as_it_came() -> None:
    ended = replace(RUNNING, state=VideoState.SUCCEEDED, ended=20.0, frames_done=90)
    assert video_now(ended, 25, now=99.0).progress == Progress(90, 90, 9.0, 0.0)
    failed = replace(ended, state=VideoState.FAILED)
    assert video_now(failed, None, now=99.0).progress == Progress(90, 100, 9.0, None)
    cancelled = replace(ended, state=VideoState.CANCELLED)
    assert video_now(cancelled, 95, now=99.0).progress == Progress(90, 100, 9.0, None)


def test_every_change_has_another_version() -> None:
    seen = [
        video_now(RECORD, None, 0.0),
        video_now(RUNNING, 0, 11.0),
        video_now(RUNNING, 1, 12.0),
        video_now(replace(RUNNING, attempts=2), 1, 12.0),
        video_now(replace(RUNNING, state=VideoState.FAILED), 1, 12.0),
    ]
    assert len({video.version for video in seen}) == len(seen)
    assert video_now(RUNNING, 1, 12.0).version == video_now(RUNNING, 1, 13.0).version
