"""The encoding of artefacts that are videos, and the sizes that their encoders accept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction

from av.codec import CodecContext
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from server.errors import BadVideo
from server.frame import VideoInfo


@dataclass(frozen=True, slots=True)
class Coding:
    """An encoder, its options and pixel format; ``even``: it needs an even height and width."""

    codec: str
    pix_fmt: str
    options: Mapping[str, str]
    even: bool = False

    def add_to(self, container: OutputContainer, info: VideoInfo) -> VideoStream:
        """Return a new stream for pictures of the video's size."""
        stream = container.add_stream(self.codec, rate=info.rate, options=dict(self.options))
        assert isinstance(stream, VideoStream)
        self._configure(stream.codec_context, info)
        return stream

    def takes(self, info: VideoInfo) -> bool:
        """Return whether the encoder opens for the video's size; this takes milliseconds."""
        context = CodecContext.create(self.codec, "w")
        assert isinstance(context, VideoCodecContext)
        self._configure(context, info)
        context.time_base, context.options = Fraction(1, 1000), dict(self.options)
        try:
            context.open()
        except FFmpegError:
            return False
        return True

    def _configure(self, context: VideoCodecContext, info: VideoInfo) -> None:
        context.width = info.width + (info.width % 2 if self.even else 0)
        context.height = info.height + (info.height % 2 if self.even else 0)
        context.pix_fmt = self.pix_fmt
        context.sample_aspect_ratio = info.pixel_aspect


CODINGS = {
    "masks.mkv": Coding("ffv1", "gray", {"level": "3"}),
    # Without B-frames the decoding order is the display order, and each duration is exact.
    "overlay.mp4": Coding(
        "libx264", "yuv420p", {"preset": "superfast", "crf": "23", "bf": "0"}, even=True
    ),
}


def check_encodable(info: VideoInfo, artefacts: Collection[str]) -> None:
    """Raise BadVideo if one of the artefacts cannot be encoded at the video's size."""
    for name, coding in CODINGS.items():
        if name in artefacts and not coding.takes(info):
            raise BadVideo(
                f"{name} cannot be made from pictures of {info.width}x{info.height}: scale the "
                "video, or request other artefacts."
            )
