"""Act like MediaMTX as far as the test camera needs it: RTSP over TCP, without HLS and WebRTC.

``python mediamtx.py CONFIG PORT``: packets published to a path are passed on to all its players.
The paths, their commands and the users' permissions are read from MediaMTX's configuration.
"""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

MOST_WAITING_BYTES = 4_000_000
RESTART_SECONDS = 5.0
REASONS = {200: "OK", 401: "Unauthorized", 404: "Not Found", 461: "Unsupported Transport"}


@dataclass(frozen=True)
class Request:
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The name of the path, without the track that SETUP adds."""
        return urlsplit(self.url).path.strip("/").partition("/")[0]


@dataclass(frozen=True)
class Response:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def encode(self, sequence: str) -> bytes:
        headers = {"CSeq": sequence, "Session": "1", "Content-Length": str(len(self.body))}
        lines = [f"{name}: {value}" for name, value in {**headers, **self.headers}.items()]
        start = f"RTSP/1.0 {self.status} {REASONS[self.status]}"
        return "\r\n".join([start, *lines, "", ""]).encode() + self.body


@dataclass
class Channel:
    """One path: its publisher's announcement, and its players."""

    description: bytes = b""
    players: set[asyncio.StreamWriter] = field(default_factory=set)

    def pass_on(self, packet: bytes) -> None:
        """Send a packet to all players; those that do not keep up are closed."""
        for player in list(self.players):
            if player.is_closing() or waiting_bytes(player) > MOST_WAITING_BYTES:
                self.players.discard(player)
                player.close()
            else:
                player.write(packet)


def waiting_bytes(player: asyncio.StreamWriter) -> int:
    return player.transport.get_write_buffer_size()


class Server:
    def __init__(self, config: Mapping[str, Any]) -> None:
        self._users = config["authInternalUsers"]
        self._channels = {name: Channel() for name in config["paths"]}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until it ends."""
        published: Channel | None = None
        address = writer.get_extra_info("peername")[0]
        try:
            while True:
                found = await read(reader)
                if isinstance(found, Request):
                    response = self._answer(found, address)
                    writer.write(response.encode(found.headers["cseq"]))
                    if response.status == 200 and found.method == "ANNOUNCE":
                        published = self._channels[found.path]
                        published.description = found.body
                    if response.status == 200 and found.method == "PLAY":
                        self._channels[found.path].players.add(writer)
                elif published:
                    published.pass_on(found)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            if published:
                published.description = b""
            for channel in self._channels.values():
                channel.players.discard(writer)
            writer.close()

    def _answer(self, request: Request, address: str) -> Response:
        if request.method == "OPTIONS":
            return Response(headers={"Public": "DESCRIBE, ANNOUNCE, SETUP, PLAY, RECORD, TEARDOWN"})
        channel = self._channels.get(request.path)
        if channel is None:
            return Response(404)
        if request.method in ("ANNOUNCE", "DESCRIBE") and not self._may(request, address):
            return Response(401, {"WWW-Authenticate": 'Basic realm="stand-in"'})
        if request.method == "DESCRIBE":
            return described(request.url, channel.description)
        if request.method == "SETUP":
            transport = request.headers.get("transport", "")
            return (
                Response(headers={"Transport": transport}) if "/TCP" in transport else Response(461)
            )
        return Response()

    def _may(self, request: Request, address: str) -> bool:
        """Return whether one of the configured users may read or publish this path."""
        action = "publish" if request.method == "ANNOUNCE" else "read"
        _, _, given = request.headers.get("authorization", "").partition(" ")
        name, _, password = base64.b64decode(given).decode().partition(":")
        return any(
            permission["action"] == action and permission.get("path", request.path) == request.path
            for user in self._users
            for permission in user["permissions"]
            if user["user"] in ("any", name)
            and user.get("pass", password) == password
            and address in user.get("ips", [address])
        )


def described(url: str, description: bytes) -> Response:
    if not description:
        return Response(404)
    headers = {"Content-Base": url.rstrip("/") + "/", "Content-Type": "application/sdp"}
    return Response(headers=headers, body=description)


async def read(reader: asyncio.StreamReader) -> Request | bytes:
    """Return the next request, or the next packet in its frame."""
    first = await reader.readexactly(1)
    if first == b"$":
        rest = await reader.readexactly(3)
        return first + rest + await reader.readexactly(int.from_bytes(rest[1:], "big"))
    head = (first + await reader.readuntil(b"\r\n\r\n")).decode()
    start, *lines = head.strip().split("\r\n")
    method, url, _ = start.split(" ")
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, url, headers, body)


async def keep_running(name: str, command: str, port: str) -> None:
    """Run the command that publishes to a path, again each time it ends."""
    environment = os.environ | {"MTX_PATH": name, "RTSP_PORT": port}
    while True:
        process = await asyncio.create_subprocess_shell(command, env=environment)
        print(f"{name}: {command!r} ended with {await process.wait()}", flush=True)
        await asyncio.sleep(RESTART_SECONDS)


async def main(config: Mapping[str, Any], port: str) -> None:
    listening = await asyncio.start_server(Server(config).serve, "0.0.0.0", int(port))
    commands = {name: (path or {}).get("runOnInit") for name, path in config["paths"].items()}
    async with listening, asyncio.TaskGroup() as group:
        for name, command in commands.items():
            if command:
                group.create_task(keep_running(name, command, port))
        await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(yaml.safe_load(Path(sys.argv[1]).read_text()), sys.argv[2]))
