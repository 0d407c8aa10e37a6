"""What a client's messages mean: open a session, queue a packet, or end the stream.

There is no socket and no clock here: messages and their times of arrival are passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import protocol
from protocol import DropCause, DropPolicy
from protocol.messages import ClientMessage
from server.errors import BadMessage, MastreamError, OutOfSequence, Undecodable
from server.frame import Dropped, Frame
from server.metrics import Metrics
from server.recordings.folder import Recordings
from server.recordings.recording import Recording
from server.settings import StreamSettings
from server.sources.pictures.nvjpeg import DevicePictures
from server.sources.pictures.packets import Packet
from server.streams.ending import ENDED, EndStream, ending_of
from server.streams.frame_ledger import FrameLedger
from server.streams.inbox import Inbox
from server.streams.opening import Opened, Opener, check_raw
from server.streams.outbox import Answer, Outbox
from server.streams.resuming import Resuming
from server.workers.serving import Serving

_AS_TEXT = protocol.Failure(
    "bad_message", "This JSON came as a binary message: send it as a text message.", 400
)


class ClientMessages:
    """Acts on one client's messages; records the stream if there are ``recordings``. ``owner`` is
    the client whose session it is.

    ``on_taken_over`` is called when a newer socket resumes the session. Mutable state: the result
    of ``open``, the last seq that was read, whether the next frame resets the memory, and which of
    the unprocessed frames reset it.
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
        resuming: Resuming | None = None,
        owner: str = "",
    ) -> None:
        self._opener = Opener(
            worker,
            settings,
            metrics,
            resuming or Resuming(worker, settings, metrics),
            pictures,
            recordings,
            owner,
        )
        self.on_taken_over: Callable[[], None] = lambda: None
        self._worker = worker
        self._settings = settings
        self._metrics = metrics
        self._inbox = inbox
        self._outbox = outbox
        self._ledger = ledger
        self.last_seq: int | None = None
        self._reset_next = False
        self._resets: list[int] = []
        self.opened: Opened | None = None

    def __repr__(self) -> str:
        return f"<ClientMessages last_seq={self.last_seq} {self._inbox!r}>"

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
        """Open a session with the defaults if the client has started without ``open``.
        Idempotent."""
        if self.opened is None:
            self._open(protocol.Open())

    def refuse(self, packet: Packet, error: MastreamError) -> None:
        """Answer a packet whose picture cannot be a frame; the next frame inherits its reset."""
        if self.opened:
            self.opened.log.passed(packet.seq)
            if packet.reset:
                self._worker.reset(self.opened.session)
        if isinstance(error, Undecodable):
            self._metrics.frame("dropped", DropCause.UNDECODABLE)
            cause = protocol.DropCause.UNDECODABLE
            self._outbox.notice(protocol.Dropped((packet.seq,), cause, str(error)))
        else:
            self._metrics.frame("failed", error.code)
            self._outbox.failed(packet.seq, error)
        if self._recording and self.opened:
            self._recording.refused(packet, self.opened.decoder.raw, error)

    def offer(self, frame: Frame) -> None:
        """Offer a decoded frame to the session. Raises the errors of the worker's ``offer``."""
        assert self.opened, "a frame came before its session"
        if frame.replay:
            self.opened.log.passed(frame.seq)
        else:
            self.opened.log.offered(frame.seq)
        self._worker.offer(self.opened.session, frame)

    def keep(self, answer: Answer) -> None:
        """Keep an answer that is about to be sent, in case the socket is lost with it."""
        if self.opened:
            self.opened.log.keep(answer)

    def close(self, lost: bool = False) -> None:
        """Leave the session: it waits to be resumed if its socket was ``lost``, otherwise it is
        closed. Idempotent."""
        opened, self.opened = self.opened, None
        if opened:
            opened.resumable.resets += self._resets_to_come(opened.log.processed)
            self._opener.leave(opened, lost)

    def _hand_over(self) -> None:
        self.close(lost=True)
        self.on_taken_over()

    def _resets_to_come(self, processed: int) -> tuple[int, ...]:
        """Return the seqs from which on a reset applies that no processed frame has used."""
        last = processed if self.last_seq is None else self.last_seq
        asked = [max(last, processed) + 1] if self._reset_next else []
        return tuple(seq for seq in [*self._resets, *asked] if seq > processed)

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
        assert self.opened, "a frame came before its session"
        seq = self._number(given.seq)
        if not given.replay:
            self._ledger.expect(seq)
        if seq > self.opened.log.processed:
            self._queue(Packet(payload, seq, now, given.pts, given.reset, given.replay))
        elif not given.replay:
            self.opened.log.again(seq)

    def _queue(self, packet: Packet) -> None:
        assert self.opened, "a packet came before its session"
        inherited = self.opened.resumable.take_reset(packet.seq)
        if packet.reset or self._reset_next or inherited:
            packet = replace(packet, reset=True)
            self._resets = [s for s in self._resets if s > self.opened.log.processed]
            self._resets.append(packet.seq)
        self._reset_next = False
        self._report_dropped(self._inbox.put(packet))

    def _report_dropped(self, drops: Sequence[Dropped]) -> None:
        for drop in drops:
            self._metrics.frame("dropped", drop.cause)
        self._outbox.dropped(drops)
        if self._recording:
            self._recording.dropped(drops)

    def _number(self, given: int | None) -> int:
        """Return the frame's seq, which must rise on this socket; the session's next number if none
        was given."""
        last = -1 if self.last_seq is None else self.last_seq
        processed = self.opened.log.processed if self.opened else -1
        seq = max(last, processed) + 1 if given is None else given
        if seq <= last:
            words = f"seq must rise, but {seq} came after {last}; number frames upwards."
            raise EndStream(ending_of(OutOfSequence(words), seq))
        if seq > protocol.MAX_INTEGER:
            # The refused number is not reported: it is too large for clients to read.
            words = f"No seq is left after {last}: open another stream to start at 0."
            raise EndStream(ending_of(OutOfSequence(words)))
        self.last_seq = seq
        return seq

    def _open(self, wish: protocol.Open) -> None:
        """Open a session and answer ``ready``; replace an earlier one if no frame has come yet."""
        if self.last_seq is not None:
            raise BadMessage("The message 'open' must come before the first frame: send it first.")
        check_raw(wish, self._settings)
        self.close(lost=True)
        self.opened = opened = self._opener.open(wish)
        opened.resumable.hand_over = self._hand_over
        opened.log.attach(self._outbox)
        self._inbox.policy = wish.policy
        self._outbox.keeps_all = wish.policy is DropPolicy.EVERY
        self._outbox.notice(opened.ready)

    @property
    def _recording(self) -> Recording | None:
        return self.opened.resumable.sink.recording if self.opened else None
