"""What a running server reports about the cluster, and how it is shown. Needs no Ray."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx

from launcher.errors import NoServer

SECONDS = 5.0
KEY = "MASTREAM_KEY"
"""The environment variable that has the API key."""

CHANGES = 10
"""How many of the last changes are shown."""

Thing = Mapping[str, Any]


def ask(url: str, transport: httpx.BaseTransport | None = None) -> dict[str, Any]:
    """Return what the server at ``url`` answers to GET /v1/cluster. Raises NoServer."""
    key = os.environ.get(KEY, "").strip()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with httpx.Client(timeout=SECONDS, transport=transport, headers=headers) as client:
            answer = client.get(f"{url.rstrip('/')}/v1/cluster")
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
            found["servers"], found["streams"], found["changes"]
    except httpx.HTTPStatusError as error:
        raise NoServer(f"{url} refuses: {_refusal(error.response)}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NoServer(f"No server answers at {url}: {str(error).rstrip('.')}.") from error
    except (ValueError, LookupError, TypeError) as error:
        raise NoServer(f"{url} is not a mastream server, or one of another version.") from error
    return found


def as_text(found: Thing) -> str:
    """Return the servers, the streams and the last changes as tables."""
    names = {one["name"]: _called(one) for one in found["servers"]}
    parts = [
        table(
            ("SERVER", "STATE", "SESSIONS", "ROOM", "STREAMS", "LASTS", "MODEL", "URL"),
            [_server(one) for one in found["servers"]],
        )
    ]
    if found["streams"]:
        streams = [_stream(one, names) for one in found["streams"]]
        parts.append(table(("STREAM", "STATE", "SERVER", "LASTS"), streams))
    if changes := found["changes"][-CHANGES:]:
        parts.append(table(("TIME", "WHAT", "NOW", "SERVER"), [_change(c, names) for c in changes]))
    return "\n\n".join(parts)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return one line per row, below headings."""
    lines = [tuple(headings), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in lines)


def _server(one: Thing) -> tuple[str, ...]:
    state = "draining" if one["draining"] else "alive"
    numbers = (one["sessions"], one["room"], one["streams"])
    url = one["url"] or ""
    return (_called(one), state, *map(str, numbers), f"{one['lasts']:g} s", one["model"], url)


def _stream(one: Thing, names: Mapping[str, str]) -> tuple[str, ...]:
    is_free = one["state"] == "free"
    lasts = "" if one["lasts"] is None else f"{one['lasts']:g} s"
    server = "" if is_free else _of(one["server"], names)
    return (one["name"], "free" if is_free else "held", server, lasts)


def _change(one: Thing, names: Mapping[str, str]) -> tuple[str, ...]:
    at = datetime.fromtimestamp(one["at"]).astimezone().strftime("%H:%M:%S")
    name = _of(one["name"], names) if one["kind"] == "server" else one["name"]
    return (at, f"{one['kind']} {name}", one["now"], _of(one["server"], names))


def _called(server: Thing) -> str:
    """Return a server's machine and the beginning of its name, which distinguishes it from others
    there."""
    return f"{server['node']}/{server['name'][:8]}"


def _of(name: str | None, names: Mapping[str, str]) -> str:
    return "" if name is None else names.get(name, name[:8])


def _refusal(answer: httpx.Response) -> str:
    """Return the sentence of an error object, or the status."""
    try:
        return str(answer.json()["detail"])
    except (ValueError, LookupError, TypeError):
        return f"status {answer.status_code}."
