"""A stream that a server pulls, and its events, read from the server's answers."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from clients.python.errors import NotOurs


@dataclass(frozen=True, slots=True)
class Camera:
    """A stream that the server pulls, as it is at this moment.

    ``state`` is "connecting", "live", "stalled", "backoff", "paused", "ended" or "failed", for
    ``since`` seconds; ``detail`` is a sentence that says why it is not live. ``url`` is without
    user name, password and query. The rates are frames per second over the last ten seconds; the
    latencies are milliseconds from the arrival of a picture to its mask, None if there was none.
    ``dropped`` and ``resets`` count by cause. ``publishing`` is a sentence about the restreamed
    overlay, and ``recording`` the id of the recording that is being made, empty if there is none.
    """

    name: str
    url: str
    policy: str
    state: str
    since: float
    code: str
    detail: str
    viewers: int
    connections: int
    width: int
    height: int
    frames: int
    masks: int
    fps_in: float
    fps_out: float
    latency_p50: float | None
    latency_p99: float | None
    dropped: Mapping[str, int]
    resets: Mapping[str, int]
    publishing: str
    recording: str = ""

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Return the camera that the server's JSON describes. Raises NotOurs if it does not."""
        try:
            rates = given["rates"]
            return cls(
                name=str(given["name"]),
                url=str(given["url"]),
                policy=str(given["policy"]),
                state=str(given["state"]),
                since=float(given["since"]),
                code=str(given["code"]),
                detail=str(given["detail"]),
                viewers=int(given["viewers"]),
                connections=int(given["connections"]),
                width=int(given["width"]),
                height=int(given["height"]),
                frames=int(given["frames"]),
                masks=int(given["masks"]),
                fps_in=float(rates["fps_in"]),
                fps_out=float(rates["fps_out"]),
                latency_p50=rates["latency_p50"],
                latency_p99=rates["latency_p99"],
                dropped=dict(given["drops"]),
                resets=dict(given["resets"]),
                publishing=_publishing(given.get("publish")),
                recording=given.get("recording") or "",
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise NotOurs(f"The server's answer is not a stream: {error!r}.") from error


def _publishing(given: Mapping[str, Any] | None) -> str:
    if given is None:
        return ""
    detail = f": {given['detail']}" if given["detail"] else "."
    return f"Publishing to {given['url']} is {given['state']}{detail}"


@dataclass(frozen=True, slots=True)
class CameraEvent:
    """A change of state or a reset. ``id`` rises; ``kind`` is "state" or "reset"."""

    id: int
    kind: str
    data: Mapping[str, Any]


async def events_of(lines: AsyncIterable[str]) -> AsyncGenerator[CameraEvent]:
    """Yield the server-sent events in these lines. Raises NotOurs."""
    fields: dict[str, str] = {}
    async for line in lines:
        name, _, value = line.partition(":")
        if name:
            fields[name] = value.removeprefix(" ")
        elif not line and "data" in fields:
            yield _event(fields)
            fields = {}


def _event(fields: Mapping[str, str]) -> CameraEvent:
    try:
        return CameraEvent(int(fields["id"]), fields["event"], json.loads(fields["data"]))
    except (KeyError, ValueError) as error:
        raise NotOurs(f"The server's answer is not an event: {error!r}.") from error
