"""Streams that clients push, and their recordings."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from server.settings.group import Group

STREAM_BYTES = 64 * 2**20
TOTAL_BYTES = 2**30


class StreamSettings(Group):
    """Limits of one stream socket, and of all of them."""

    max_sessions: PositiveInt = 64
    window: PositiveInt = Field(8, description="frames of one stream that may be unanswered")
    outbox: PositiveInt = Field(8, description="masks that wait for a client that reads slowly")
    stream_bytes: PositiveInt = Field(
        STREAM_BYTES, description="bytes that the pictures and masks of one stream may hold"
    )
    total_bytes: PositiveInt = Field(
        TOTAL_BYTES,
        description="bytes that messages, pictures and masks of all streams may hold; beyond that, "
        "a pushed stream is read only while it holds nothing itself, and one that the server "
        "pulls holds two pictures in their own size",
    )
    max_message_bytes: PositiveInt = 32 * 2**20
    max_pixels: PositiveInt = Field(4096 * 4096, description="pixels of one pushed picture")
    idle_seconds: PositiveFloat = Field(
        60.0, description="seconds without a message after which a stream is closed with 4408"
    )
    slow_seconds: PositiveFloat = Field(
        10.0, description="seconds without reading after which a stream is closed with 4408"
    )
    open_seconds: PositiveFloat = Field(
        1.0, description="seconds to wait for `open` before the defaults are assumed"
    )
    record: bool = Field(
        False, description="whether streams may be recorded; a recording holds their pictures"
    )
    record_bytes: PositiveInt = Field(256 * 2**20, description="bytes of one recording")
    record_seconds: PositiveFloat = Field(300.0, description="seconds of one recording")
    record_total_bytes: PositiveInt = Field(
        2**30, description="bytes of all recordings; the oldest are removed to stay within it"
    )
    resume_seconds: NonNegativeFloat = Field(
        30.0,
        description="seconds that the session of a lost socket waits to be resumed; 0: it is "
        "closed at once. What waits holds at most a quarter of total_bytes, and so do the answers "
        "that are kept to be sent again",
    )
