"""What a client's messages mean: open a session, queue a packet, or end the stream.

There is no socket and no clock here: messages and their times of arrival are passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

import protocol
from protocol import DropCause, DropPolicy, InputEncoding, MaskSize
from protocol.messages import ClientMessage
from server.errors import BadMessage, NoCapacity, OutOfSequence, TooLarge, Undecodable
from server.frame import Dropped
from server.metrics import Metrics
from server.recordings.folder import Recordings
from server.recordings.recording import RecordedSink
from server.scheduling.session import Session
from server.settings import StreamSettings
from server.sources.nvjpeg import DevicePictures
from server.sources.packets import Packet, PacketDecoder
from server.sources.picture import check_pixels
from server.streams.ending import ENDED, EndStream, ending_of
from server.streams.frame_ledger import FrameLedger
from server.streams.inbox import Inbox
from server.streams.mask_packer import MaskPacker
from server.streams.outbox import Outbox
from server.workers.serving import Serving

_RAW_OVERHEAD_BYTES = 4
"""What the shortest message adds to its picture: the length field of an empty header."""


_AS_TEXT = protocol.Failure(
    "bad_message", "This JSON came as a binary message: send it as a text message.", 400
)


@dataclass(frozen=True, slots=True)
class Opened:
    """What ``open`` settled for the rest of a stream."""

    session: Session
    policy: DropPolicy
    decoder: PacketDecoder
    answers: MaskPacker


class ClientMessages:
    """Acts on one client's messages; records the stream if there are ``recordings``.

    Mutable state: what was opened, the last seq, and whether the next frame resets the memory.
    """

    def __init__(
        self,
        worker: Serving,
        settings: StreamSettings,
        metrics: Metrics,
        inbox: Inbox,
        outbox: Outbox,
        ledger: FrameLedger,
        pictures: DevicePictures | None = None,
        recordings: Recordings | None = None,
    ) -> None:
        self._recordings = recordings
        self._sink = RecordedSink(outbox)
        self._pictures = pictures
        self._worker = worker
        self._settings = settings
        self._metrics = metrics
        self._inbox = inbox
        self._outbox = outbox
        self._ledger = ledger
        self._last_seq: int | None = None
        self._reset_next = False
        self.opened: Opened | None = None

    def __repr__(self) -> str:
        return f"<ClientMessages last_seq={self._last_seq} {self._inbox!r}>"

    def handle(self, message: str | bytes, now: float) -> None:
        """Act on one message of the client.

        Raises EndStream with the ending if the client ended the stream or a seq is wrong;
        ProtocolError, BadMessage, TooLarge, NoCapacity or Draining if the stream ends with that
        error.
        """
        if isinstance(message, str):
            self._take_control(protocol.parse_client(message))
        elif protocol.is_json_text(message):
            self._outbox.notice(_AS_TEXT)
        else:
            self._take_frame(message, now)

    def assume(self) -> None:
        """Open a session with the defaults if the client has begun without ``open``. Idempotent."""
        if self.opened is None:
            self._open(protocol.Open())

    def refuse(self, packet: Packet, error: Undecodable | TooLarge) -> None:
        """Answer a packet whose picture cannot be a frame; the next frame inherits its reset."""
        if packet.reset and self.opened:
            self._worker.reset(self.opened.session)
        if isinstance(error, Undecodable):
            self._metrics.frame("dropped", DropCause.UNDECODABLE)
            cause = protocol.DropCause.UNDECODABLE
            self._outbox.notice(protocol.Dropped((packet.seq,), cause, str(error)))
            if self._sink.recording:
                self._sink.recording.failed(packet.seq, error)
        else:
            self._metrics.frame("failed", error.code)
            self._sink.failed(packet.seq, error)

    def close(self) -> None:
        """Free the session. Idempotent."""
        if self.opened:
            self._worker.close(self.opened.session)
        if self._sink.recording:
            self._sink.recording.end()

    def _take_control(self, message: ClientMessage) -> None:
        if isinstance(message, protocol.Open):
            self._open(message)
            return
        self.assume()
        if isinstance(message, protocol.Ping):
            self._outbox.notice(protocol.Pong())
        elif isinstance(message, protocol.Reset):
            self._reset_next = True
        elif isinstance(message, protocol.End):
            raise EndStream(ENDED)

    def _take_frame(self, data: bytes, now: float) -> None:
        given, payload = protocol.unpack_frame(data, self._settings.max_message_bytes)
        self.assume()
        packet = Packet(
            data=payload,
            seq=self._number(given.seq),
            arrived=now,
            pts=given.pts,
            reset=given.reset or self._reset_next,
            replay=given.replay,
        )
        self._reset_next = False
        if not packet.replay:
            self._ledger.expect(packet.seq)
        self._report_dropped(self._inbox.put(packet))

    def _report_dropped(self, drops: Sequence[Dropped]) -> None:
        for drop in drops:
            self._metrics.frame("dropped", drop.cause)
        self._sink.dropped(drops)

    def _number(self, given: int | None) -> int:
        """Return the frame's seq, which must rise; the next number if none was given."""
        last = -1 if self._last_seq is None else self._last_seq
        seq = last + 1 if given is None else given
        if seq <= last:
            words = f"seq must rise, but {seq} came after {last}; number frames upwards."
            raise EndStream(ending_of(OutOfSequence(words), seq))
        if seq > protocol.MAX_INTEGER:
            # The refused number is not reported: it is too large for clients to read.
            words = f"No seq is left after {last}: open another stream to start at 0."
            raise EndStream(ending_of(OutOfSequence(words)))
        self._last_seq = seq
        return seq

    def _open(self, wish: protocol.Open) -> None:
        """Open a session and answer ``ready``; replace an earlier one if no frame has come yet."""
        if self._last_seq is not None:
            raise BadMessage("The message 'open' must come before the first frame: send it first.")
        _check_raw(wish, self._settings)
        self.close()
        self.opened = None
        name = uuid4().hex
        self.opened = self._claim(wish, name)
        self._inbox.policy = self.opened.policy
        self._outbox.keeps_all = self.opened.policy is DropPolicy.EVERY
        self._outbox.notice(self._ready(name))

    def _claim(self, wish: protocol.Open, name: str) -> Opened:
        policy = wish.policy
        budget = None if wish.budget_ms is None else wish.budget_ms / 1000
        try:
            self._record(name, wish)
            session = self._worker.open(
                self._sink, policy=policy, budget=budget, window=self._settings.window
            )
        except NoCapacity as error:
            self._metrics.rejected(error.code)
            raise
        return Opened(session, policy, self._decoder(wish), MaskPacker(self._worker.spec, wish))

    def _record(self, name: str, wish: protocol.Open) -> None:
        """Begin the recording, which has the session's name, if one is wanted. Raises NoCapacity if
        too many streams are recorded already."""
        if self._recordings is None:
            return
        self._sink.recording = self._recordings.begin(
            self._worker.engines[0],
            stream="",
            policy=wish.policy,
            budget=None if wish.budget_ms is None else wish.budget_ms / 1000,
            name=name,
        )

    def _decoder(self, wish: protocol.Open) -> PacketDecoder:
        raw = wish.input is InputEncoding.RGB24
        return PacketDecoder(
            self._worker.spec.height,
            self._worker.spec.width,
            self._settings.max_pixels,
            (wish.height or 0, wish.width or 0) if raw else None,
            keep_original=wish.overlay and wish.size is MaskSize.INPUT,
            device=self._pictures,
            keep_packet=self._recordings is not None,
        )

    def _ready(self, name: str) -> protocol.Ready:
        limits = protocol.Limits(self._settings.max_message_bytes, self._settings.max_pixels)
        return protocol.Ready(name, self._worker.spec.to_dict(), limits, self._settings.window)


def _check_raw(wish: protocol.Open, settings: StreamSettings) -> None:
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
