from __future__ import annotations

import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from clients.python.drawing import OverlayVideo, blend
from clients.python.errors import BadOutput

PALETTE = np.array([[0, 0, 0], [200, 100, 0]], np.uint8)
GREY = np.full((6, 8, 3), 100, np.uint8)


def test_colours_lie_over_the_picture_half_and_half() -> None:
    labels = np.zeros((6, 8), np.uint8)
    labels[:3] = 1
    shown = blend(GREY, labels, PALETTE)
    assert shown[0, 0].tolist() == [150, 100, 50]
    assert shown[5, 0].tolist() == [50, 50, 50]


def test_labels_of_another_size_and_unknown_ones_fit() -> None:
    shown = blend(GREY, np.array([[0, 9]], np.uint8), PALETTE)
    assert shown.shape == GREY.shape
    assert shown[0, 7].tolist() == [150, 100, 50]


def test_a_video_keeps_count_and_timestamps(tmp_path: Path) -> None:
    path = tmp_path / "o.mp4"
    picture = np.full((35, 41, 3), 100, np.uint8)
    with OverlayVideo(path, [(0, 0, 0), (200, 0, 0)]) as video:
        for pts in (0.0, 0.1, 0.5, None, 0.2):
            video.write(picture, np.ones((35, 41), np.uint8), pts)
    video.write(picture, np.ones((35, 41), np.uint8), 9.0)
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert (frames[0].width, frames[0].height) == (42, 36)
    times = [frame.time for frame in frames]
    assert times == pytest.approx([0.0, 0.1, 0.5, 0.5 + 1 / 30, 0.5 + 2 / 30], abs=1e-3)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(BadOutput, match="cannot be written"):
        OverlayVideo(tmp_path / "absent" / "o.mp4", [(0, 0, 0)])
    with pytest.raises(BadOutput, match="cannot be written"):
        OverlayVideo(tmp_path / "o.words", [(0, 0, 0)])


def test_without_a_picture_what_was_there_stays(tmp_path: Path) -> None:
    with OverlayVideo(tmp_path / "o.mp4", [(0, 0, 0)]):
        pass
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "o.mp4").write_text("old")
    with OverlayVideo(tmp_path / "o.mp4", [(0, 0, 0)]):
        pass
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("o.mp4", "old")]


def test_it_takes_its_place_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "o.mp4"
    path.write_text("old")
    with OverlayVideo(path, [(0, 0, 0)]) as video:
        video.write(GREY, np.zeros((6, 8), np.uint8), 0.0)
        assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["o.mp4"]
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == 1


def test_a_link_stays_one_and_leads_to_the_video(tmp_path: Path) -> None:
    link, target = tmp_path / "o.mp4", tmp_path / "deep" / "real.mp4"
    target.parent.mkdir()
    link.symlink_to(target)
    with OverlayVideo(link, [(0, 0, 0)]) as video:
        video.write(GREY, np.zeros((6, 8), np.uint8), 0.0)
    assert link.is_symlink()
    assert target.stat().st_size > 0


def test_a_folder_that_vanishes_meanwhile_is_one_error(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    with (
        pytest.raises(BadOutput, match=r"a/o\.mp4 cannot be written: No such file"),
        OverlayVideo(folder / "o.mp4", [(0, 0, 0)]) as video,
    ):
        video.write(GREY, np.zeros((6, 8), np.uint8), 0.0)
        shutil.rmtree(folder)
