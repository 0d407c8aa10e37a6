"""If a store carries out a request and then fails to answer, no video and no file is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jobs_at_work import MakeClip, ended, serving, upload

from server.database.pieces import PieceRows
from server.database.video_record import VideoState
from server.database.videos import VideoRows
from server.errors import NotFound, Unavailable
from server.videos import durable_ledger, files, runner
from server.videos import jobs as jobs_module
from server.videos.ledger import Terms
from server.videos.video_job import VideoJob

pytestmark = pytest.mark.anyio

ARTEFACTS = ("masks.mkv", "overlay.mp4")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries of the store and the ends of leases come soon."""
    for module in (durable_ledger, jobs_module, runner):
        monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(runner, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(files, "ALONE", Terms(lease=0.5, renew=0.1))


def fail_after(
    monkeypatch: pytest.MonkeyPatch, rows: type, name: str, *, acts: bool = True
) -> list[str]:
    """Let the next such call raise, after it was carried out if it ``acts``; return the list of
    those that did."""
    real, failed = getattr(rows, name), list[str]()

    def act(*args: Any, **kwargs: Any) -> Any:
        result = real(*args, **kwargs) if acts or failed else None
        if not failed:
            failed.append(name)
            raise Unavailable("The database does not answer: try again in a moment.")
        return result

    monkeypatch.setattr(rows, name, act)
    return failed


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        (VideoRows, "standings"),
        (VideoRows, "begin"),
        (VideoRows, "finish"),
        (VideoRows, "get"),
        (PieceRows, "take"),
        (PieceRows, "take_whole"),
        (PieceRows, "plan"),
        (PieceRows, "release"),
        (PieceRows, "finish"),
        (PieceRows, "all"),
    ],
)
async def test_a_video_succeeds(
    rows: type, name: str, tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    async with serving(tmp_path, lanes=1) as jobs:
        failed = fail_after(monkeypatch, rows, name)
        video = await upload(jobs, clip, ARTEFACTS)
        done = await ended(jobs, video)
        assert failed == [name]
        assert (done.record.state, done.record.problem) == (VideoState.SUCCEEDED, None)
        assert done.progress.frames_done == 12
        another = await ended(jobs, await upload(jobs, clip, ARTEFACTS))
        assert another.record.state is VideoState.SUCCEEDED
    left = {path.name for path in (tmp_path / "videos" / video).iterdir()}
    assert len(left) == 2 and left > {"upload"}


@pytest.mark.parametrize("acts", [True, False])
@pytest.mark.parametrize(
    ("rows", "name"),
    [
        (PieceRows, "free"),
        (PieceRows, "take_whole"),
        (VideoRows, "standings"),
        (VideoRows, "finish"),
    ],
)
async def test_a_video_fails_that_was_never_taken(
    rows: type,
    name: str,
    acts: bool,
    tmp_path: Path,
    make_clip: MakeClip,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The end is stored as soon as the store answers, not only once a lease has ended."""
    monkeypatch.setattr(files, "ALONE", Terms(lease=900.0, renew=300.0))
    failures: list[list[str]] = []

    async def run(_: VideoJob) -> str:
        failures.append(fail_after(monkeypatch, rows, name, acts=acts))
        raise ValueError("our mistake")

    async with serving(tmp_path, lanes=1) as jobs:
        monkeypatch.setattr(VideoJob, "run", run)
        done = await ended(jobs, await upload(jobs, make_clip(tmp_path / "clip.mp4")))
        assert failures == [[name]]
        assert done.record.state is VideoState.FAILED
        assert done.record.problem and done.record.problem["code"] == "fault"


async def test_a_video_that_was_added_is_segmented(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, lanes=1) as jobs:
        fail_after(monkeypatch, VideoRows, "add")
        with pytest.raises(Unavailable):
            await upload(jobs, make_clip(tmp_path / "clip.mp4"), ARTEFACTS)
        (added,) = await jobs.page(9, None)
        assert (await ended(jobs, added.record.id)).record.state is VideoState.SUCCEEDED


async def test_a_video_that_was_not_added_leaves_no_file(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise Unavailable("The database does not answer: try again in a moment.")

    async with serving(tmp_path, lanes=1) as jobs:
        with monkeypatch.context() as patch, pytest.raises(Unavailable):
            patch.setattr(VideoRows, "add", fail)
            patch.setattr(VideoRows, "get", fail)
            await upload(jobs, make_clip(tmp_path / "clip.mp4"), ARTEFACTS)
        (left,) = (tmp_path / "videos").glob("*/upload")
        await jobs.expire()
        assert not left.exists()


async def test_a_video_that_was_cancelled_is_removed_by_the_second_request(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, lanes=1) as jobs:
        fail_after(monkeypatch, VideoRows, "cancel")
        video = await upload(jobs, make_clip(tmp_path / "clip.mp4"), ARTEFACTS)
        with pytest.raises(Unavailable):
            await jobs.delete(video)
        await jobs.delete(video)
        with pytest.raises(NotFound):
            await jobs.find(video)
    assert not (tmp_path / "videos" / video).exists()
