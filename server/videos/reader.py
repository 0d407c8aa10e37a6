"""One decoder and one memory that read consecutive pieces of a video, and check that the video is
as planned."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from protocol import DropPolicy
from server.errors import BadInput, SourceFault
from server.frame import Dropped, Frame, Losses, Mask, VideoInfo
from server.scheduling.session import Session
from server.sinks.base import Sink
from server.sinks.style import DEFAULT, Style
from server.sources.container import ContainerSource
from server.sources.cuts import Cuts
from server.sources.hardware import Hardware
from server.sources.sandbox.decoder import Sandbox
from server.sources.sandbox.probe_process import Prober
from server.videos.pieces import Piece, stretch_of
from server.videos.recording import Recording
from server.workers.serving import Serving

OVERLAY = "overlay.mp4"
"""The artefact that is drawn on the pictures themselves."""


class Space(Protocol):
    """The free space of the disk, for which writers wait."""

    async def wait_for_room(self) -> None:
        """Wait while there is little space."""

    async def wait_for_space(self) -> None:
        """Wait until there is space again, after a write has failed with DiskFull."""


class CutsDiffer(Exception):
    """A cut video is not what its packets promised: a picture is damaged or missing, or has another
    size or time. It must be segmented in one piece."""


OnLosses = Callable[[Losses], None]
"""Called on the event loop with the losses in decoding, once they are known."""


@dataclass(frozen=True, slots=True)
class Work:
    """One video to segment: its file, its description, its artefacts and the places of their parts.
    At most ``window`` frames of a lane are between decoder and recorder. On a full disk it waits
    for ``space``; without ``space`` it fails. ``on_losses`` is called even if too much is lost. It
    is decoded in the ``sandbox``, if there is one; its packets are examined by the ``prober``'s
    processes, or in this process if there is none."""

    worker: Serving
    video: Path
    folder: Path
    info: VideoInfo
    artefacts: Collection[str]
    cuts: Cuts
    max_pixels: int
    hardware: Hardware | None = None
    space: Space | None = None
    style: Style = DEFAULT
    window: int = 4
    on_losses: OnLosses = lambda _: None
    sandbox: Sandbox | None = None
    prober: Prober | None = None


class Relay(Sink):
    """Passes a session's results on to the recording of the current piece."""

    def __init__(self) -> None:
        self.recording: Recording | None = None

    def mask(self, mask: Mask) -> None:
        if self.recording:
            self.recording.mask(mask)

    def dropped(self, drops: Sequence[Dropped]) -> None:
        if self.recording:
            self.recording.dropped(drops)

    def failed(self, seq: int, error: Exception) -> None:
        if self.recording:
            self.recording.failed(seq, error)


class PieceReader:
    """Reads one piece after the other; decoder and session are opened with the first.

    Mutable state: the source, the session, and the recording that gets its masks.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._relay = Relay()
        self._session: Session | None = None
        self._source: ContainerSource | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._relay.recording = None
        if self._session is not None:
            self._work.worker.close(self._session)
        if self._source is not None:
            await self._source.aclose()

    def losses(self) -> Losses:
        """Return the losses in decoding so far."""
        return self._source.losses() if self._source else Losses()

    async def feed(self, piece: Piece, recording: Recording) -> int:
        """Segment every frame of a piece; return how many there are.

        Raises NoCapacity if there is no session for it, CutsDiffer if the video was cut and is not
        as planned, BadInput if it is damaged, and SourceFault if this server cannot decode it.
        """
        source, session = self._begin(piece)
        self._relay.recording = recording
        frames = 0
        try:
            while frame := await self._next(source, piece):
                if self._work.space is not None:
                    await self._work.space.wait_for_room()
                if not frame.replay:
                    self._check(piece, frame, frames)
                    frames += 1
                    await recording.wait_for_room()
                await self._work.worker.wait_for_room(session)
                self._work.worker.offer(session, frame)
                if frame.seq == piece.last:
                    break
            await self._work.worker.settled(session)
            await self._check_end(source, piece, frames)
        except BaseException:
            recording.give_up()
            raise
        return frames

    def _begin(self, piece: Piece) -> tuple[ContainerSource, Session]:
        work = self._work
        if self._session is None:
            self._session = work.worker.open(
                self._relay, policy=DropPolicy.EVERY, window=work.window, background=True
            )
        if self._source is None:
            spec = work.worker.spec
            self._source = ContainerSource(
                work.video,
                spec.height,
                spec.width,
                keep_original=OVERLAY in work.artefacts,
                total=work.info.frames if piece.last is None else None,
                max_pixels=work.max_pixels,
                hardware=work.hardware,
                sandbox=work.sandbox,
                rate=work.info.rate,
                stretch=stretch_of(piece, work.cuts, spec.memory_horizon),
            )
        return self._source, self._session

    async def _next(self, source: ContainerSource, piece: Piece) -> Frame | None:
        try:
            return await anext(source, None)
        except BadInput as error:
            if not source.packets:  # it was opened before, when it was uploaded
                raise SourceFault(f"The server cannot open the video any more: {error}") from None
            if piece.last is None:
                raise
            raise CutsDiffer(str(error)) from None

    def _check(self, piece: Piece, frame: Frame, before: int) -> None:
        """Raise CutsDiffer if the frame after the first ``before`` frames of a cut piece is not the
        planned one."""
        if piece.last is None:
            return
        size = (self._work.info.height, self._work.info.width)
        known = frame.seq == piece.first + before and frame.size == size and not frame.damaged
        if not known or (before == 0 and frame.pts != self._begins(piece)):
            raise CutsDiffer(f"frame {frame.seq} at {frame.pts} s is not as planned")

    def _begins(self, piece: Piece) -> Fraction:
        return next(key.time for key in self._work.cuts.keys if key.number == piece.first)

    async def _check_end(self, source: ContainerSource, piece: Piece, frames: int) -> None:
        if piece.last is None:
            return
        is_final = piece.last + 1 == self._work.cuts.pictures
        beyond = await self._next(source, piece) if is_final else None
        if beyond or frames != piece.last + 1 - piece.first or self.losses():
            raise CutsDiffer(f"{piece}: {frames} pictures, {self.losses()}")
