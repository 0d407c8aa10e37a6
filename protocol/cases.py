"""The cases of the golden vectors: at least one valid and one refused case of each message."""

from __future__ import annotations

import json
from typing import Any

from protocol.headers import FrameHeader, MaskHeader, MaskMemory, StageTimes
from protocol.messages import ClientMessage, End, Ping, Pong, Reset, ServerMessage
from protocol.opening import Limits, Open, Ready
from protocol.results import Dropped, Failure, GoingAway
from protocol.words import (
    DropCause,
    DropPolicy,
    InputEncoding,
    MaskEncoding,
    MaskSize,
    MemoryState,
)

MODEL = {
    "name": "camvid",
    "classes": [
        {"name": "sky", "colour": [128, 128, 128]},
        {"name": "road", "colour": [128, 64, 128]},
    ],
    "height": 352,
    "width": 480,
    "memory_horizon": 2,
}

CLIENT: dict[str, ClientMessage] = {
    "open with defaults": Open(),
    "open with everything": Open(
        InputEncoding.RGB24,
        480,
        352,
        MaskEncoding.RLE,
        MaskSize.MODEL,
        True,
        DropPolicy.EVERY,
        62.5,
        "token",
        0.25,
    ),
    "open to resume": Open(policy=DropPolicy.EVERY, resume="token"),
    "reset": Reset(),
    "end": End(),
    "ping": Ping(),
    "pong": Pong(),
}

SERVER: dict[str, ServerMessage] = {
    "ready": Ready("s1", MODEL, Limits(2**25, 2**24), 8, None, MemoryState.NEW),
    "ready with a token": Ready("s1", MODEL, Limits(2**25), 8, "t", MemoryState.NEW),
    "ready, taken up again": Ready("s1", MODEL, Limits(2**25), 8, "t", MemoryState.INTACT),
    "ready, rebuilt": Ready("s1", MODEL, Limits(2**25), 8, "t", MemoryState.REBUILT),
    "ready, cold": Ready("s2", MODEL, Limits(2**25), 8, "t2", MemoryState.COLD),
    "dropped": Dropped((3, 4), DropCause.NEWER),
    "dropped as stale": Dropped((3,), DropCause.STALE),
    "dropped for a slow client": Dropped((3,), DropCause.CLIENT_SLOW),
    "dropped for overload": Dropped((3,), DropCause.OVERLOAD),
    "dropped as undecodable": Dropped((3,), DropCause.UNDECODABLE, "The picture is cut off."),
    "error of one frame": Failure("undecodable", "Frame 7 is not a picture.", 422, "", 7, False),
    "error of a session taken over": Failure("taken_over", "Resumed elsewhere.", 409, fatal=True),
    "error that ends": Failure("no_capacity", "The server is full.", 503, "", None, True),
    "going away": GoingAway(1500),
    "going away, with the last frame taken": GoingAway(1500, 41),
    "going away, to another server": GoingAway(0, 41, "wss://b.example:8443/v1/stream"),
    "end": End(),
    "reset": Reset(),
    "ping": Ping(),
    "pong": Pong(),
}

READ_TEXT: dict[str, tuple[str, str, ClientMessage | ServerMessage]] = {
    "null is absent": ("client", '{"type":"open","policy":null,"overlay":null}', Open()),
    "type last": ("client", '{"overlay":true,"type":"open"}', Open(overlay=True)),
    "spaces": ("client", ' {\n"type" : "ping" }\t', Ping()),
    "escapes": ("client", '{"type":"\\u0065nd"}', End()),
    "a whole number for a number": (
        "client",
        '{"type":"open","budget_ms":50}',
        Open(budget_ms=50.0),
    ),
    "a field twice: the last counts": (
        "client",
        '{"type":"open","policy":"every","policy":"latest"}',
        Open(),
    ),
    "a newer server's field": ("server", '{"type":"going_away","later":{"a":[1]}}', GoingAway()),
    "a newer server's field in end": ("server", '{"type":"end","later":null}', End()),
    "dropped with null": (
        "server",
        '{"type":"dropped","seqs":[],"cause":"stale","detail":null}',
        Dropped((), DropCause.STALE),
    ),
}

REFUSED_TEXT = {
    "not JSON": ("client", "hello", 4400),
    "not an object": ("client", "[1]", 4400),
    "no type": ("client", "{}", 4400),
    "type is a number": ("client", '{"type":1}', 4400),
    "unknown type": ("client", '{"type":"opne"}', 4400),
    "a server's message from a client": ("client", '{"type":"ready"}', 4400),
    "unknown field": ("client", '{"type":"open","polcy":"every"}', 4400),
    "unknown field that is null": ("client", '{"type":"open","polcy":null}', 4400),
    "unknown word": ("client", '{"type":"open","policy":"all"}', 4400),
    "word of capitals": ("client", '{"type":"open","policy":"Latest"}', 4400),
    "bool for a number": ("client", '{"type":"open","budget_ms":true}', 4400),
    "number for a bool": ("client", '{"type":"open","overlay":1}', 4400),
    "opacity over 1": ("client", '{"type":"open","opacity":1.5}', 4400),
    "budget of 0": ("client", '{"type":"open","budget_ms":0}', 4400),
    "NaN": ("client", '{"type":"open","budget_ms":NaN}', 4400),
    "half of a surrogate pair": ("client", '{"type":"open","resume":"\\ud800"}', 4400),
    "text too long": ("client", json.dumps({"type": "open", "resume": "x" * 4097}), 4400),
    "raw without a size": ("client", '{"type":"open","input":"rgb24"}', 4400),
    "raw without a height": ("client", '{"type":"open","input":"rgb24","width":4}', 4400),
    "a size without raw": ("client", '{"type":"open","width":4,"height":4}', 4400),
    "a side of 65536": (
        "client",
        '{"type":"open","input":"rgb24","width":65536,"height":1}',
        4400,
    ),
    "reset with a field": ("client", '{"type":"reset","seq":1}', 4400),
    "end with a field": ("client", '{"type":"end","now":true}', 4400),
    "ping with a field": ("client", '{"type":"ping","id":1}', 4400),
    "pong with a field": ("client", '{"type":"pong","id":1}', 4400),
    "more than 65536 bytes": ("client", " " * 65535 + "{}", 1009),
    "no cause": ("server", '{"type":"dropped","seqs":[1]}', 4400),
    "no seqs": ("server", '{"type":"dropped","cause":"newer"}', 4400),
    "unknown cause": ("server", '{"type":"dropped","seqs":[1],"cause":"boredom"}', 4400),
    "seqs of texts": ("server", '{"type":"dropped","seqs":["1"],"cause":"newer"}', 4400),
    "no code": ("server", '{"type":"error","detail":"?"}', 4400),
    "status of 99": ("server", '{"type":"error","code":"fault","status":99}', 4400),
    "negative wait": ("server", '{"type":"going_away","reconnect_after_ms":-1}', 4400),
    "no window": (
        "server",
        '{"type":"ready","session":"s","model":{"classes":[]},"limits":{"max_message_bytes":1}}',
        4400,
    ),
    "no limits": (
        "server",
        '{"type":"ready","session":"s","model":{"classes":[]},"window":1}',
        4400,
    ),
    "no classes": (
        "server",
        '{"type":"ready","session":"s","model":{},"limits":{"max_message_bytes":1},"window":1}',
        4400,
    ),
    "colour over 255": (
        "server",
        '{"type":"ready","session":"s","limits":{"max_message_bytes":1},"window":1,'
        '"model":{"classes":[{"name":"sky","colour":[0,0,256]}]}}',
        4400,
    ),
}

FRAMES = {
    "empty header": FrameHeader(),
    "everything": FrameHeader(12, 0.48, True, True),
    "largest seq": FrameHeader(2**53 - 1),
}

READ_FRAMES: dict[str, tuple[bytes, FrameHeader]] = {
    "header of no bytes": (b"", FrameHeader()),
    "null is absent": (b'{"seq":null,"pts":null,"reset":null,"replay":null}', FrameHeader()),
    "false": (b'{"seq":0,"reset":false,"replay":false}', FrameHeader(0)),
    "spaces": (b' { "seq" : 3 , "pts" : 2 } ', FrameHeader(3, 2.0)),
}

REFUSED_FRAMES: dict[str, dict[str, Any]] = {
    "seq is a bool": {"seq": True},
    "seq is a float": {"seq": 1.0},
    "seq is negative": {"seq": -1},
    "seq is huge": {"seq": 2**53},
    "pts is a text": {"pts": "0"},
    "pts is huge": {"pts": 1e16},
    "reset is a number": {"reset": 1},
    "replay is a text": {"replay": "yes"},
    "unknown field": {"sqe": 1},
}

_BARE = {"seq": 0, "encoding": MaskEncoding.NONE, "width": 2, "height": 4}

MASKS = {
    "areas alone": MaskHeader.from_dict(_BARE),
    "an unknown cause of a reset": MaskHeader.from_dict(
        _BARE | {"memory": {"filled": 0, "reset": "cause of a later version"}}
    ),
    "raw with an overlay": MaskHeader(
        seq=7,
        encoding=MaskEncoding.RAW,
        width=2,
        height=4,
        pts=0.28,
        memory=MaskMemory(2, "client"),
        ms=StageTimes(0.5, 1.5, 2.5, 30.25, 0.75),
        batch=4,
        areas={"sky": 0.5, "road": 0.5},
        overlay=3,
    ),
}

REFUSED_MASKS: dict[str, dict[str, Any]] = {
    "no seq": {"encoding": "none", "width": 2, "height": 4},
    "unknown encoding": _BARE | {"encoding": "gif"},
    "width of 0": _BARE | {"width": 0},
    "area is a text": _BARE | {"areas": {"sky": "all"}},
    "overlay is negative": _BARE | {"overlay": -1},
}
