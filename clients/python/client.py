"""Opening a stream: frames go up, masks come down, side by side.

    async with connect("http://localhost:8000", policy="every") as stream:
        async for mask in stream.segment(frames):
            ...

At most ``stream.ready.window`` frames are unanswered at a time. Leaving the loop early stops the
sender and closes the iterable of frames; leaving the block closes the socket.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.typing import Subprotocol

from clients.python.addresses import stream_address
from clients.python.foreign import socket_errors
from clients.python.stream import MAX_RESULT_BYTES, OnDropped, OnFailure, Stream
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
    policy: DropPolicy | str = DropPolicy.LATEST,
    budget_ms: float | None = None,
    decode: bool = True,
    on_dropped: OnDropped | None = None,
    on_failure: OnFailure | None = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Stream]:
    """Open a stream on the server at ``url``; it is closed with the block.

    ``input`` is how arrays are sent; "rgb24" needs ``width`` and ``height``. ``decode=False``
    leaves ``labels`` out. The callbacks hear of frames that get no mask. Raises a ClientError.
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
    )
    socket = await _open_socket(stream_address(url, model), headers)
    stream = Stream(socket, request, decode, on_dropped, on_failure)
    async with contextlib.aclosing(stream):
        await stream.open()
        yield stream


async def _open_socket(url: str, headers: Mapping[str, str] | None) -> ClientConnection:
    with socket_errors(url):
        return await open_socket(
            url,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            max_size=MAX_RESULT_BYTES,
            close_timeout=CLOSE_SECONDS,
            additional_headers=dict(headers or {}),
        )
