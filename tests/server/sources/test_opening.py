"""What may be opened, and the errors for the rest."""

from __future__ import annotations

import errno
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from av.error import FFmpegError

from server.errors import BadVideo, MastreamError, SourceFault, UnsupportedMedia
from server.sources.opening import broken, open_video

Film = Callable[..., Path]

PIXELS = 10_000


def refusal(path: Path) -> MastreamError:
    with pytest.raises(MastreamError) as caught, open_video(path, max_pixels=PIXELS):
        pass
    return caught.value


def test_a_video_opens_whatever_its_name(film: Film) -> None:
    path = film().rename(film().with_name("concat:weird %03d name.txt"))
    with open_video(path, max_pixels=PIXELS) as (container, stream):
        assert container.format.name.startswith("mov")
        assert (stream.width, stream.height) == (64, 48)


def test_a_zip_called_mp4(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "hello" * 100)
    assert type(refusal(path)) is UnsupportedMedia


@pytest.mark.parametrize("data", [b"just some text\n" * 50, bytes(5000), b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_container(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(data)
    assert type(refusal(path)) is UnsupportedMedia


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.touch()
    error = refusal(path)
    assert type(error) is BadVideo and "empty" in str(error)


def test_sound_only(sound: Path) -> None:
    error = refusal(sound)
    assert type(error) is BadVideo and "no video stream" in str(error)


@pytest.mark.parametrize("kept", [100, 0.3, 0.8])
def test_an_upload_without_its_index(film: Film, kept: float) -> None:
    path = film()
    data = path.read_bytes()
    path.write_bytes(data[: int(kept if kept > 1 else len(data) * kept)])
    error = refusal(path)
    assert type(error) is BadVideo and "cut off" in str(error)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert type(refusal(tmp_path / "none.mp4")) is SourceFault
    assert type(refusal(tmp_path)) is SourceFault


def scripts(other: Path) -> dict[str, str]:
    """Files that make a demuxer open ``other``."""
    return {
        "concat": f"ffconcat version 1.0\nfile '{other}'\n",
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n",
        "hls by url": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{other}\n",
        "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
        f"<Period><AdaptationSet><Representation id='1'><BaseURL>{other}</BaseURL>"
        "</Representation></AdaptationSet></Period></MPD>",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    }


@pytest.mark.parametrize("kind", ["concat", "hls", "hls by url", "dash", "sdp"])
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".ffconcat", ".mpd", ".sdp"])
def test_scripts_that_name_other_files_are_refused(
    film: Film, tmp_path: Path, kind: str, suffix: str
) -> None:
    other = film("other.ts")
    path = tmp_path / f"upload{suffix}"
    path.write_text(scripts(other)[kind])
    assert type(refusal(path)) is UnsupportedMedia


def test_a_picture_sequence_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "upload%d.png"
    frame = av.VideoFrame.from_ndarray(np.zeros((8, 8, 3), np.uint8), format="rgb24")
    frame.save(str(tmp_path / "upload1.png"))
    frame.save(str(path))
    assert type(refusal(path)) is UnsupportedMedia


def test_a_cover_picture_is_no_video(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(sound) as source, av.open(path, "w") as container:
        music = container.add_stream_from_template(source.streams.audio[0])
        cover = container.add_stream("mjpeg", options={"strict": "-2"})
        cover.width = cover.height = 16
        cover.pix_fmt = "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame(16, 16, "yuvj420p")))
        container.mux(cover.encode(None))
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = music
                container.mux(packet)
    error = refusal(path)
    assert type(error) is BadVideo and "no video stream" in str(error)


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://user:secret@127.0.0.1:{server.getsockname()[1]}/video.mp4"
        with (
            pytest.raises(SourceFault, match="did not answer") as caught,
            open_video(url, max_pixels=PIXELS, timeout=0.2),
        ):
            pass
    assert caught.value.__cause__ is None and "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "concat:/etc/passwd", "/etc/passwd"])
def test_a_url_reaches_no_file(url: str) -> None:
    with pytest.raises(SourceFault), open_video(url, max_pixels=PIXELS, timeout=1.0):
        pass


def test_a_title_that_is_not_utf8(film: Film) -> None:
    path = film("film.avi", codec="mpeg4")
    titled = path.with_name("titled.avi")
    with av.open(path) as given, av.open(titled, "w") as taken:
        taken.metadata["title"] = "caf? noir"
        stream = taken.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                taken.mux(packet)
    data = titled.read_bytes()
    assert data.count(b"caf? noir") == 1
    titled.write_bytes(data.replace(b"caf? noir", b"caf\xe9 noir"))
    with open_video(titled, max_pixels=PIXELS) as (_, stream):
        assert (stream.width, stream.height) == (64, 48)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOMEM, errno.EINVAL, errno.ENOSYS, errno.EPERM])
def test_a_file_that_brings_an_error_of_the_system_is_to_blame_itself(
    film: Film, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """FFmpeg also returns such codes for damaged files."""
    path = film()

    def fail(*_: object, **__: object) -> None:
        av.error.err_check(-code)

    assert type(broken(path, ffmpeg_error(code), None)) is BadVideo
    monkeypatch.setattr(av, "open", fail)
    error = refusal(path)
    assert type(error) is BadVideo and error.status == 422


def test_a_disk_that_cannot_be_read_is_no_fault_of_the_file(tmp_path: Path) -> None:
    gone = tmp_path / "gone.mp4"
    assert type(broken(gone, ffmpeg_error(errno.EIO), None)) is SourceFault
    assert type(broken("http://host/a.mp4", ffmpeg_error(errno.EIO), 1.0)) is SourceFault


def ffmpeg_error(code: int) -> FFmpegError:
    with pytest.raises(FFmpegError) as caught:
        av.error.err_check(-code)
    return caught.value
