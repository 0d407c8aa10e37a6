"""From a file to a mask with pictures on a "device": nothing is copied that need not be."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from server.engines.fake import FakeEngine, fake_spec
from server.errors import Fault, UnsupportedMedia
from server.frame import HOST_COPIES, AnyPixels, DevicePixels, Frame, VideoInfo, host_pixels
from server.settings import DecodeSettings
from server.sources import open_hardware
from server.sources.container import ContainerSource
from server.sources.hardware import Hardware
from server.sources.nvdec import open_fake
from server.sources.probing import VideoLimits, probe
from server.videos.segmenting import segment_video
from server.workers.worker import Worker

pytestmark = pytest.mark.anyio

Film = Callable[..., Path]


@pytest.fixture(scope="module")
def hardware() -> Hardware:
    return open_fake()


async def frames_of(path: Path, hardware: Hardware | None, **given: bool) -> list[Frame]:
    async with ContainerSource(path, 24, 32, hardware=hardware, **given) as source:  # type: ignore[arg-type]
        return [frame async for frame in source]


def close(one: AnyPixels, other: AnyPixels) -> bool:
    difference = np.abs(host_pixels(one).astype(int) - host_pixels(other).astype(int))
    return float(difference.mean()) < 1.5


@pytest.mark.parametrize("turn", [0, 90, 270])
async def test_frames_are_those_of_the_cpu_but_stay_on_the_device(
    film: Film, hardware: Hardware, turn: int
) -> None:
    path = film(frames=8, configure=lambda s: s.set_display_rotation(-turn))
    before = HOST_COPIES.count
    found = await frames_of(path, hardware)
    assert HOST_COPIES.count == before
    for one, other in zip(found, await frames_of(path, None), strict=True):
        assert isinstance(one.pixels, DevicePixels) and one.original is None
        assert (one.seq, one.pts, one.size) == (other.seq, other.pts, other.size)
        assert (one.decoder, other.decoder) == ("fake", "cpu")
        assert close(one.pixels, other.pixels)


async def test_only_an_original_is_copied_to_the_host(film: Film, hardware: Hardware) -> None:
    before = HOST_COPIES.count
    found = await frames_of(film(frames=5), hardware, keep_original=True)
    assert HOST_COPIES.count == before + 5
    assert all(f.original is not None and f.original.shape == (48, 64, 3) for f in found)


async def test_falling_back_to_software_is_seen_and_told_once(
    film: Film, hardware: Hardware, caplog: pytest.LogCaptureFixture
) -> None:
    path = film("a.mkv", pix_fmt="yuv444p", frames=4)
    with caplog.at_level(logging.WARNING):
        found = await frames_of(path, hardware)
    assert {frame.decoder for frame in found} == {"cpu"}
    (told,) = caplog.messages
    assert "64x48 pictures in yuv444p" in told and str(path) not in told


async def test_a_stream_that_changes_falls_back_where_it_must(
    film: Film, hardware: Hardware, tmp_path: Path
) -> None:
    path = tmp_path / "joined.h264"
    one, two = film("one.h264", frames=2), film("two.h264", frames=2, pix_fmt="yuv444p")
    path.write_bytes(one.read_bytes() + two.read_bytes())
    found = await frames_of(path, hardware)
    assert [frame.decoder for frame in found] == ["fake", "fake", "cpu", "cpu"]


async def test_software_is_refused_where_a_gpu_is_required(film: Film) -> None:
    path = film("a.mkv", pix_fmt="yuv444p")
    with pytest.raises(UnsupportedMedia, match="MASTREAM_DECODE__DEVICE=auto"):
        await frames_of(path, open_fake(required=True))


async def segment(
    path: Path, folder: Path, hardware: Hardware | None, artefacts: Sequence[str]
) -> int:
    """Segment a video by the fake engine, which reads a device's pictures in place."""

    worker = Worker(lambda: FakeEngine(fake_spec(48, 64)))
    await worker.start()
    info: VideoInfo = probe(path, VideoLimits())
    try:
        return await segment_video(
            worker, path, folder, info, artefacts, max_pixels=10_000, hardware=hardware
        )
    finally:
        await worker.stop()


async def test_from_a_file_to_its_masks_without_a_copy(
    film: Film, hardware: Hardware, tmp_path: Path
) -> None:
    before = HOST_COPIES.count
    names = ("masks.mkv", "summary.json")
    assert await segment(film(frames=6), tmp_path / "out", hardware, names) == 6
    assert HOST_COPIES.count == before
    assert '"fake": 6' in (tmp_path / "out" / "summary.json").read_text()


async def test_an_overlay_costs_one_copy_a_frame(
    film: Film, hardware: Hardware, tmp_path: Path
) -> None:
    before = HOST_COPIES.count
    assert await segment(film(frames=6), tmp_path / "out", hardware, ("overlay.mp4",)) == 6
    assert HOST_COPIES.count == before + 6
    shown = await frames_of(tmp_path / "out" / "overlay.mp4", None)
    assert [frame.pts for frame in shown] == [Fraction(i, 25) for i in range(6)]


def test_who_decodes_is_a_setting(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(_device: int, **_: bool) -> Hardware:
        raise Fault("no GPU is here")

    monkeypatch.setattr("server.sources.nvdec.open_nvdec", absent)
    monkeypatch.setattr("server.sources.driver_installed", lambda: False)
    assert open_hardware(DecodeSettings(device="auto")) is None and not caplog.messages
    monkeypatch.setattr("server.sources.driver_installed", lambda: True)
    assert open_hardware(DecodeSettings(device="cpu")) is None and not caplog.messages
    with caplog.at_level(logging.WARNING):
        assert open_hardware(DecodeSettings(device="auto")) is None
    assert caplog.messages == ["videos are decoded on the CPU: no GPU is here"]
    with pytest.raises(Fault, match="no GPU is here"):
        open_hardware(DecodeSettings(device="gpu"))
    monkeypatch.setattr("server.sources.nvdec.open_nvdec", lambda _, **given: open_fake(**given))
    found = open_hardware(DecodeSettings(device="gpu"))
    assert found is not None and found.required
