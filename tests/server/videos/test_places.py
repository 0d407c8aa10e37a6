"""Which files a video's state keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.database.video_record import VideoState
from server.videos.places import Places, results_epoch, results_name


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """The places of one video that has all its files."""
    made = Places(tmp_path, keep_uploads=False)
    for file in (
        made.upload("v"),
        made.pieces("v") / "00000.e1" / "overlay.mp4",
        made.results("v", "results.e3") / "masks.mkv",
        made.results("v", "results.e2") / "masks.mkv",
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"four")
    return made


def left(places: Places) -> set[str]:
    files = (path for path in places.folder.rglob("*") if path.is_file())
    return {str(path.relative_to(places.folder / "v")) for path in files}


PIECE, UPLOAD = "pieces/00000.e1/overlay.mp4", "upload"
OLD, RESULT = "results.e2/masks.mkv", "results.e3/masks.mkv"


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        (VideoState.QUEUED, {PIECE, UPLOAD, OLD, RESULT}),
        (VideoState.RUNNING, {PIECE, UPLOAD, OLD, RESULT}),
        (VideoState.SUCCEEDED, {RESULT}),
        (VideoState.FAILED, set()),
        (VideoState.CANCELLED, set()),
        (None, set()),
    ],
)
def test_each_state_keeps_its_files(
    places: Places, state: VideoState | None, kept: set[str]
) -> None:
    places.settle("v", state, "results.e3")
    assert left(places) == kept


def test_pieces_that_are_read_stay_until_their_viewer_ends(places: Places) -> None:
    places.viewers.begin("v")
    places.settle("v", VideoState.SUCCEEDED, "results.e3")
    assert left(places) == {RESULT, PIECE}
    places.viewers.end("v")
    assert left(places) == {RESULT}


def test_a_viewer_keeps_nothing_of_a_video_that_is_removed(places: Places) -> None:
    places.viewers.begin("v")
    places.settle("v", None)
    assert left(places) == set()
    places.viewers.end("v")


def test_a_cancelled_video_frees_its_space_while_it_is_read(places: Places) -> None:
    with (places.pieces("v") / "00000.e1" / "overlay.mp4").open("rb") as reader:
        places.clear("v")
        assert reader.read() == b""
    assert left(places) == set()


def test_only_what_is_kept_is_counted(places: Places, tmp_path: Path) -> None:
    assert places.bytes_kept("v", "results.e3") == 4
    assert Places(tmp_path, keep_uploads=True).bytes_kept("v", "results.e3") == 8


def test_results_of_an_earlier_epoch_are_removed_and_no_others(places: Places) -> None:
    places.remove_results_before("v", "results.e3")
    assert left(places) == {PIECE, UPLOAD, RESULT}
    assert results_epoch("results") == 0 < results_epoch(results_name(1)) == 1
