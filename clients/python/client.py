"""Open a stream; frames are sent while masks are received.

    async with connect("http://localhost:8000", policy="every") as stream:
        async for mask in stream.segment(frames):
            ...

At most ``stream.ready.window`` frames are unanswered at a time. If the loop ends early, the sender
is stopped and the iterable of frames closed; the socket is closed at the end of the block. A lost
connection is made again, and the session resumed.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from functools import partial

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.typing import Subprotocol

from clients.python.addresses import stream_address
from clients.python.connection import MAX_RESULT_BYTES
from clients.python.foreign import socket_errors
from clients.python.keys import with_key
from clients.python.reconnecting import Backoff, OnEvent
from clients.python.stream import Callbacks, OnDropped, OnFailure, Stream
from protocol import SUBPROTOCOL, DropPolicy, InputEncoding, MaskEncoding, MaskSize, Open

CLOSE_SECONDS = 2.0


@contextlib.asynccontextmanager
async def connect(
    url: str,
    *,
    model: str | None = None,
    input: InputEncoding | str = InputEncoding.JPEG,  # noqa: A002 - the wire's own name
    width: int | None = None,
    height: int | None = None,
    output: MaskEncoding | str = MaskEncoding.PNG,
    size: MaskSize | str = MaskSize.INPUT,
    overlay: bool = False,
    opacity: float | None = None,
    policy: DropPolicy | str = DropPolicy.LATEST,
    budget_ms: float | None = None,
    decode: bool = True,
    on_dropped: OnDropped | None = None,
    on_failure: OnFailure | None = None,
    on_event: OnEvent | None = None,
    resume: bool | Backoff = True,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Stream]:
    """Open a stream on the server at ``url``; it is closed at the end of the block.

    ``input`` is the encoding in which arrays are sent; "rgb24" needs ``width`` and ``height``.
    ``overlay`` requests a JPEG with each mask, in which the mask is drawn with ``opacity`` (0..1;
    0.5 if None). With ``decode=False`` masks are not decoded: ``labels`` is None. The callbacks
    receive frames that get no mask. Raises a ClientError.

    If the connection is lost, the stream connects again and resumes its session, with the same
    masks as if nothing had happened; ``on_event`` receives a :class:`Lost` or :class:`Resumed`.
    A server that is full or stops may name another one: the stream continues there, with the same
    key, but never without TLS if ``url`` has it.
    ``resume`` may be a :class:`Backoff`, which says how long to wait and when to give up; with
    ``False`` a lost connection is an error. If the server requires an API key, set the environment
    variable MASTREAM_KEY, or give ``headers={"Authorization": "Bearer KEY"}``.
    """
    request = Open(
        InputEncoding(input),
        width,
        height,
        MaskEncoding(output),
        MaskSize(size),
        overlay,
        DropPolicy(policy),
        budget_ms,
        opacity=opacity,
    )
    dial = partial(open_stream_socket, headers=headers)
    callbacks = Callbacks(on_dropped, on_failure, on_event)
    backoff = Backoff() if resume is True else resume or None
    stream = Stream(stream_address(url, model), dial, request, decode, callbacks, backoff)
    async with contextlib.aclosing(stream):
        await stream.open()
        yield stream


async def open_stream_socket(url: str, headers: Mapping[str, str] | None) -> ClientConnection:
    """Return an open WebSocket that speaks the protocol. Raises a ClientError."""
    with socket_errors(url):
        return await open_socket(
            url,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            max_size=MAX_RESULT_BYTES,
            close_timeout=CLOSE_SECONDS,
            additional_headers=with_key(headers),
        )
