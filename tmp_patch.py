from pathlib import Path
def sub(path, *pairs):
    p = Path(path); t = p.read_text()
    for a, b in pairs:
        assert t.count(a) == 1, (path, t.count(a), a)
        t = t.replace(a, b)
    p.write_text(t)

# --- transport
sub("server/web/transport.py",
('''Two things are added to what uvicorn does. A close''', '''Three things are added to what uvicorn does. A close'''),
('''closing at once would make the kernel send a reset that overtakes the close frame.
"""''' if False else '''at once would make the kernel send a reset that overtakes the close frame.
"""''', '''at once would make the kernel send a reset that overtakes the close frame. And pings of a client
that does not read wait for it, the newest in place of the others.
"""'''),
('''_WORDS = {1002: "bad_message", 1007: "bad_message", 1009: "too_large"}''',
 '''_WORDS = {1002: "bad_message", 1007: "bad_message", 1009: "too_large", 1012: "going_away"}'''),
('''    """websockets' parser; its reasons begin with our stable code word."""
''', '''    """websockets' parser; its reasons, and uvicorn's, begin with our stable code word."""
'''),
('''        super().fail(code, f"{word}: {reason}"[:_REASON_BYTES])
''', '''        super().fail(code, f"{word}: {reason}"[:_REASON_BYTES])

    def send_close(self, code: int | None = None, reason: str = "") -> None:
        super().send_close(code, reason or _WORDS.get(code or 0, ""))
'''),
('''        self._discarding = False
        self._cut: ''', '''        self._discarding = False
        self._pong = b""
        self._cut: '''),
('''    async def send(self, message: Any) -> None:
        if self._disc''', '''    def handle_ping(self) -> None:
        pong = b"".join(self.conn.data_to_send())
        if self.close_sent:
            return
        if self.writable.is_set():
            self.transport.write(pong)
        else:
            # RFC 6455, 5.5.3: the newest answers those before it as well.
            self._pong = pong or self._pong

    def resume_writing(self) -> None:
        super().resume_writing()
        pong, self._pong = self._pong, b""
        if pong and not self.close_sent:
            self.transport.write(pong)

    def send_receive_event_to_app(self) -> None:
        is_text = self.curr_msg_data_type == "text" and not self.close_sent
        if is_text and not _is_utf8(b"".join(self.frames)):
            self.frames = []
            self.conn.fail(1007, "a text message is not UTF-8")
            self.handle_parser_exception()
        else:
            super().send_receive_event_to_app()

    async def send(self, message: Any) -> None:
        if self._disc'''),
)
p = Path("server/web/transport.py"); p.write_text(p.read_text() + '''

def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
''')

# --- inbox
sub("server/web/inbox.py",
('''decoding them; a reset that one of them carried goes on to it. Under ``every`` nobody loses,
    and the reader sees to it that no more than a window of them are here. Replayed frames are
    never lost: the memory needs each.
''', '''decoding them; a reset that one of them carried goes on to it. Under ``every`` nobody loses,
    and replayed frames are never lost: the memory needs each. The reader waits for :meth:`room`,
    so that no more than a window of those are here.
'''),
('''        self._changed = asyncio.Event()

    def __repr__''', '''        self._changed = asyncio.Event()
        self._taken = asyncio.Event()

    def __repr__'''),
('''        return self._waiting.popleft() if self._waiting else None

    def _superseded''', '''        self._taken.set()
        return self._waiting.popleft() if self._waiting else None

    async def room(self, window: int) -> None:
        """Wait until fewer than ``window`` packets wait that nobody may lose."""
        while self._kept() >= window:
            self._taken.clear()
            await self._taken.wait()

    def _kept(self) -> int:
        every = self.policy is Policy.EVERY
        return sum(every or one.replay for one in self._waiting)

    def _superseded'''),
)

# --- session
sub("server/session.py",
('''        if self.policy is Policy.LATEST:
            return not self._waiting
        return self.unanswered < self.window
''', '''        loses = self.policy is Policy.LATEST and self._waiting
        return not loses and self.unanswered < self.window
'''),
('''    def discard(self, cause: DropCause) -> list[Dropped]:
        """Drop all that waits, and stay open."""
        return self._drop_if(lambda _: True, cause)

''', ''),
('''        return self.discard(DropCause.STALE)
''', '''        return self._drop_if(lambda _: True, DropCause.STALE)
'''),
)

# --- outbox
sub("server/sinks/outbox.py",
('''MAX_NOTICES = 1024
''', '''MAX_BYTES = 64 * 2**20
MAX_NOTICES = 1024
'''),
('''    """What one client is still to be sent: at most ``capacity`` masks, and short notices.

    One event loop uses it. When it is full the oldest mask goes, and is told as ``client_slow``.
    Notices''', '''    """What one client is still to be sent: short notices, and at most ``capacity`` masks.

    One event loop uses it. When it is full the oldest mask goes, and is told as ``client_slow``;
    so it does where masks and the pictures they keep pass ``max_bytes``, but the newest stays.
    Where :attr:`keeps_all` is set no mask goes: then the caller waits for :meth:`room` and
    :meth:`space`. Notices'''),
('''    def __init__(self, capacity: int, on_lost: Callable[[], None] = lambda: None) -> None:
        self._capacity = capacity
        self._on_lost = on_lost
''', '''    def __init__(
        self,
        capacity: int,
        on_lost: Callable[[], None] = lambda: None,
        *,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.keeps_all = False
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._bytes = 0
        self._on_lost = on_lost
'''),
('''        self._masks.append(mask)
        if len(self._masks) > self._capacity:
            lost = self._masks.popleft()
            self._on_lost()
            self.dropped((Dropped(lost.frame.seq, DropCause.CLIENT_SLOW),))
        self._changed.set()
''', '''        self._masks.append(mask)
        self._bytes += _weight(mask)
        while self._is_overfull():
            lost = self._next_mask()
            self._on_lost()
            self.dropped((Dropped(lost.frame.seq, DropCause.CLIENT_SLOW),))
        self._changed.set()
'''),
('''        return self._masks.popleft() if self._masks else None

    def sent''', '''        return self._next_mask() if self._masks else None

    def sent'''),
('''    def _tell_lost(''', '''    async def space(self) -> None:
        """Wait until the masks that wait are below ``max_bytes``."""
        while self._bytes >= self._max_bytes:
            self._answered.clear()
            await self._answered.wait()

    def _is_overfull(self) -> bool:
        if self.keeps_all or len(self._masks) <= 1:
            return False
        return len(self._masks) > self._capacity or self._bytes > self._max_bytes

    def _next_mask(self) -> Mask:
        mask = self._masks.popleft()
        self._bytes -= _weight(mask)
        return mask

    def _tell_lost('''),
('''def _answers(item''', '''def _weight(mask: Mask) -> int:
    """The bytes that a mask keeps alive, about."""
    original = mask.frame.original
    held = mask.labels.nbytes + mask.frame.pixels.nbytes
    return held if original is None else held + original.nbytes


def _answers(item'''),
)

# --- listener
sub("server/web/listener.py",
('''        self._inbox.policy = self.opened.policy
''', '''        self._inbox.policy = self.opened.policy
        self._outbox.keeps_all = self.opened.policy is Policy.EVERY
'''))

# --- settings
sub("server/settings.py",
('''    step_deadline: PositiveFloat = Field(
        30.0, description="seconds after which a step that has not come back is given up"
    )
''', '''    step_deadline: PositiveFloat | None = Field(
        None,
        description="seconds after which a step that has not come back is given up; ten times "
        "the slowest so far, 2 s at least, where absent",
    )
'''),
('''    max_message_bytes: PositiveInt = 32 * 2**20
''', '''    outbox_bytes: PositiveInt = Field(
        64 * 2**20, description="that those masks and the pictures of their overlays may hold"
    )
    max_message_bytes: PositiveInt = 32 * 2**20
'''))

# --- conversation
sub("server/web/conversation.py",
('''FAREWELL_SECONDS = 2.0

''', ''),
('''        # A whole window fits, so that `every` loses nothing however late its client reads.
        capacity = max(house.settings.outbox, house.settings.window)
        self._outbox = Outbox(capacity, self._count_slow)
''', '''        self._outbox = Outbox(
            house.settings.outbox, self._count_slow, max_bytes=house.settings.outbox_bytes
        )
'''),
('''            await say(self._socket, last, quietly=self._sending is not None)
''', '''            await say(self._socket, last, self._patience())
'''),
('''            self._farewell = GOING_AWAY
            self._reading.cancel()
''', '''            self._farewell = GOING_AWAY
            self._reading.cancel()
            # A task that is cancelled before its first step never comes to its `finally`.
            self._inbox.close()
'''),
('''        """Under ``every`` the socket is not read while a window of frames is unanswered."""
        opened = self._listener.opened
''', '''        """The socket is not read while a window of frames waits that may not be lost; under
        ``every``, while so many are unanswered."""
        await self._inbox.room(self._settings.window)
        opened = self._listener.opened
'''),
('''        message = await self._socket.receive()
''', '''        # Messages that are here already are received without a pause; others must have a turn.
        await asyncio.sleep(0)
        message = await self._socket.receive()
'''),
('''            assert opened, "a packet came before its session"
            frame''', '''            assert opened, "a packet came before its session"
            if opened.policy is Policy.EVERY:
                await self._outbox.space()
            frame'''),
('''        if opened.policy is Policy.EVERY:
            await self._house''', '''        if opened.policy is Policy.EVERY or frame.replay:
            await self._house'''),
('''    def _count_slow''', '''    def _patience(self) -> float:
        """Seconds that a client which does not read has left; none where they are over."""
        now = time.monotonic()
        since = now if self._sending is None else self._sending
        return max(0.0, self._settings.slow_seconds - (now - since))

    def _count_slow'''),
('''async def say(socket: WebSocket, last: Farewell, quietly: bool = False) -> None:
    """Send the farewell and close; ``quietly`` closes only, where no message gets through."""
    with suppress(WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(FAREWELL_SECONDS):
            if not quietly:
                await socket.send_text(protocol.serialise(last.message))
            await socket.close(last.close, last.reason)
''', '''async def say(socket: WebSocket, last: Farewell, patience: float) -> None:
    """Send the farewell and close; a client that reads nothing for ``patience`` seconds is
    closed without it."""
    with suppress(WebSocketDisconnect):
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await socket.send_text(protocol.serialise(last.message))
        await socket.close(last.close, last.reason)
'''),
)
sub("server/web/stream.py", ('''await say(socket, farewell(error))''', '''await say(socket, farewell(error), self._house.settings.slow_seconds)'''))
