"""The result of a client's ``open``: the session, and how its frames are decoded and answers
packed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import protocol
from protocol import DropPolicy, InputEncoding, MaskSize, MemoryState
from server.errors import NoCapacity, TooLarge, TooMany
from server.metrics import Metrics
from server.recordings.folder import Recordings
from server.recordings.recording import Recording
from server.scheduling.session import Session
from server.settings import StreamSettings
from server.sources.pictures.nvjpeg import DevicePictures
from server.sources.pictures.packets import PacketDecoder
from server.sources.pictures.picture import check_pixels
from server.streams.answer_log import AnswerLog
from server.streams.mask_packer import MaskPacker
from server.streams.resuming import Resumable, Resuming
from server.workers.serving import Serving

_RAW_OVERHEAD_BYTES = 4
"""Bytes that the shortest message adds to its picture: the length field of an empty header."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The result of ``open`` for the rest of a stream. ``ready`` is the answer to it."""

    resumable: Resumable
    policy: DropPolicy
    decoder: PacketDecoder
    answers: MaskPacker
    ready: protocol.Ready

    @property
    def session(self) -> Session:
        return self.resumable.session

    @property
    def log(self) -> AnswerLog:
        return self.resumable.log


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens sessions or resumes them; records each new one if there are ``recordings``."""

    worker: Serving
    settings: StreamSettings
    metrics: Metrics
    resuming: Resuming
    pictures: DevicePictures | None = None
    recordings: Recordings | None = None
    owner: str = ""
    """The client that owns the sessions."""

    def open(self, wish: protocol.Open) -> Opened:
        """Open a session as requested. Raises TooMany, NoCapacity or Draining."""
        resumable, memory = self._claim(wish)
        return Opened(
            resumable,
            wish.policy,
            self._decoder(wish, resumable.sink.recording is not None),
            MaskPacker(self.worker.spec, wish),
            self._ready(resumable, memory),
        )

    def leave(self, opened: Opened, lost: bool) -> None:
        """Let the session wait to be resumed if its socket was ``lost``; otherwise close it."""
        if lost:
            self.resuming.park(opened.resumable)
        else:
            self.resuming.close(opened.resumable)

    def _claim(self, wish: protocol.Open) -> tuple[Resumable, MemoryState]:
        """Return the session to resume, or a new one, and the state of its memory."""
        budget = None if wish.budget_ms is None else wish.budget_ms / 1000
        found, memory = None, MemoryState.NEW
        if wish.resume is not None:
            found, memory = self.resuming.claim(wish.resume)
        if found:
            found.session.policy, found.session.budget = wish.policy, budget
            return found, memory
        try:
            record = partial(self._record, wish)
            return self.resuming.open(wish.policy, budget, record, self.owner), memory
        except (TooMany, NoCapacity) as error:
            self.metrics.rejected(error.code)
            raise

    def _record(self, wish: protocol.Open, name: str) -> Recording | None:
        """Begin the recording, named after the session, if one is requested. Raises NoCapacity if
        too many streams are being recorded."""
        if self.recordings is None:
            return None
        return self.recordings.begin(
            self.worker.engines[0],
            stream="",
            policy=wish.policy,
            budget=None if wish.budget_ms is None else wish.budget_ms / 1000,
            name=name,
        )

    def _decoder(self, wish: protocol.Open, is_recorded: bool) -> PacketDecoder:
        raw = wish.input is InputEncoding.RGB24
        return PacketDecoder(
            self.worker.spec.height,
            self.worker.spec.width,
            self.settings.max_pixels,
            (wish.height or 0, wish.width or 0) if raw else None,
            keep_original=wish.overlay and wish.size is MaskSize.INPUT,
            device=self.pictures,
            keep_packet=is_recorded,
        )

    def _ready(self, resumable: Resumable, memory: MemoryState) -> protocol.Ready:
        settings = self.settings
        return protocol.Ready(
            resumable.name,
            self.worker.spec.to_dict(),
            protocol.Limits(settings.max_message_bytes, settings.max_pixels),
            settings.window,
            resumable.token if self.resuming.is_on else None,
            memory,
        )


def check_raw(wish: protocol.Open, settings: StreamSettings) -> None:
    """Raise TooLarge if no raw picture of the announced size could be accepted."""
    if wish.width is None or wish.height is None:
        return
    check_pixels(wish.height, wish.width, settings.max_pixels)
    size = _RAW_OVERHEAD_BYTES + wish.height * wish.width * 3
    if size > settings.max_message_bytes:
        raise TooLarge(
            f"An rgb24 picture of {wish.width}x{wish.height} needs a message of {size} bytes and "
            f"the limit is {settings.max_message_bytes}: send it smaller, or as JPEG."
        )
