"""The wire format shared by client and server. Standard library, msgspec and numpy; no sockets.

Everything public is imported from here: ``from protocol import pack, unpack, Open, ...``.

Binary messages (``framing``): ``u32 little-endian header length | JSON header | payload``.
    pack(header, payload=b"") -> bytes      header: FrameHeader, MaskHeader or a mapping
    unpack_frame(data, max_message_bytes) -> (FrameHeader, payload)     what a server reads
    unpack_mask(data, max_message_bytes) -> (MaskHeader, payload)       what a client reads
    unpack(data, max_message_bytes) -> Message(header: dict, payload)   unchecked
        A bare picture (magic of JPEG, PNG, WebP) is returned with an empty header.
    picture_kind(data) -> "jpeg" | "png" | "webp" | None
    foreign_kind(data) -> "a GIF picture" | ... | None      another kind of file
    is_json_text(data) -> bool      a text message that was sent as binary
    MAX_HEADER_BYTES = 65536

Text messages (``messages``): one JSON object whose ``type`` names it. Frozen msgspec structs, each
with ``to_dict()`` and ``from_dict(mapping)``:
    client:  Open  Reset  End  Ping  Pong
    server:  Ready  Dropped  Failure ("error")  GoingAway  Reset  End  Ping  Pong
    parse_client(text) -> Open | ...      what a server reads
    parse_server(text) -> Ready | ...     what a client reads
    serialise(message) -> str
Headers of binary messages:
    FrameHeader(seq=None, pts=None, reset=False, replay=False)
    MaskHeader(seq, pts, encoding, width, height, memory, ms, batch, areas, overlay)
        ``overlay`` is the length in bytes of a JPEG that ends the payload, 0 if there is none:
        split_overlay(header, payload) -> (mask bytes, overlay bytes)
    StageTimes, Stage, STAGES: the stages of a frame, as ``ms`` of a mask names them
Unknown fields from a client are refused, since they are usually typing mistakes; those from a
server are ignored, so that older clients work with newer servers. A null field counts as absent.

Masks (``masks``):
    encode_mask(labels (H, W) uint8, encoding, palette (N, 3) or None) -> bytes
    decode_mask(data, encoding, width, height) -> labels (H, W) uint8
    encodings: "png" (8-bit palette), "raw" (H*W bytes, row by row), "none" (no bytes),
    "rle" (a JSON object {"class index": COCO compressed counts}; see ``rle``)

Errors (``errors``): ProtocolError(message, code, close) is the only error that bytes from the
network raise.
    CloseCode: the WebSocket close codes, an IntEnum.

``vectors.json`` holds golden messages and masks for the tests of every language, ``schema.json``
a JSON Schema of all messages; ``python -m protocol.vectors`` and ``python -m protocol.schema``
regenerate them.
"""

from protocol.errors import CloseCode, ProtocolError
from protocol.fields import MAX_INTEGER
from protocol.foreign import foreign_kind, is_json_text
from protocol.framing import MAX_HEADER_BYTES, Message, pack, picture_kind, unpack
from protocol.headers import (
    STAGES,
    FrameHeader,
    MaskHeader,
    MaskMemory,
    StageTimes,
    split_overlay,
    unpack_frame,
    unpack_mask,
)
from protocol.masks import decode_mask, encode_mask
from protocol.messages import (
    SUBPROTOCOL,
    ClientMessage,
    End,
    Ping,
    Pong,
    Reset,
    ServerMessage,
    parse_client,
    parse_server,
    serialise,
)
from protocol.opening import Limits, Open, Ready
from protocol.results import Dropped, Failure, GoingAway
from protocol.words import (
    DropCause,
    DropPolicy,
    InputEncoding,
    MaskEncoding,
    MaskSize,
    MemoryState,
    Stage,
)

__all__ = [
    "MAX_HEADER_BYTES",
    "MAX_INTEGER",
    "STAGES",
    "SUBPROTOCOL",
    "ClientMessage",
    "CloseCode",
    "DropCause",
    "DropPolicy",
    "Dropped",
    "End",
    "Failure",
    "FrameHeader",
    "GoingAway",
    "InputEncoding",
    "Limits",
    "MaskEncoding",
    "MaskHeader",
    "MaskMemory",
    "MaskSize",
    "MemoryState",
    "Message",
    "Open",
    "Ping",
    "Pong",
    "ProtocolError",
    "Ready",
    "Reset",
    "ServerMessage",
    "Stage",
    "StageTimes",
    "decode_mask",
    "encode_mask",
    "foreign_kind",
    "is_json_text",
    "pack",
    "parse_client",
    "parse_server",
    "picture_kind",
    "serialise",
    "split_overlay",
    "unpack",
    "unpack_frame",
    "unpack_mask",
]
