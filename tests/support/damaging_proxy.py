"""A proxy in front of an RTSP server that damages a camera's packets: RTP over TCP only.

async with damaging_proxy(camera.port, damage=0.05) as proxy:
    url = camera.mount(0, port=proxy.port)
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from tcp_proxy import copy, tcp_proxy

RTP_HEADER = 12
"""Bytes that are never damaged: the payload is."""

_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)


@dataclass
class Proxy:
    """Its port, its treatment of packets, and how many RTP packets it passed and damaged.

    ``damage`` is the share of RTP packets in which one to three bytes are changed, ``lose`` the
    share that is left out; ``shift`` is added to every RTP time, in ticks. While ``passing`` is
    clear nothing passes, and both connections stay open. All may be changed at any time.
    """

    damage: float = 0.0
    lose: float = 0.0
    shift: int = 0
    port: int = 0
    packets: int = 0
    damaged: int = 0
    passing: asyncio.Event = field(default_factory=asyncio.Event)
    random: random.Random = field(default_factory=lambda: random.Random(1))

    def spoil(self, channel: int, packet: bytes) -> bytes | None:
        """Return the packet as it is sent on; None if it is lost. Even channels carry RTP."""
        changed = bytearray(packet)
        if channel % 2:
            _shift(changed, 16, self.shift, sender_report=True)
            return bytes(changed)
        self.packets += 1
        _shift(changed, 4, self.shift)
        if self.random.random() < self.lose:
            return None
        if self.random.random() < self.damage and len(changed) > RTP_HEADER:
            self.damaged += 1
            for _ in range(self.random.randint(1, 3)):
                place = self.random.randrange(RTP_HEADER, len(changed))
                changed[place] ^= self.random.randint(1, 255)
        return bytes(changed)


@asynccontextmanager
async def damaging_proxy(
    port: int, *, damage: float = 0.0, lose: float = 0.0
) -> AsyncIterator[Proxy]:
    """Listen on a free loopback port, in front of the server on ``port``."""
    proxy = Proxy(damage, lose)
    proxy.passing.set()
    async with tcp_proxy(lambda: port, copy, partial(_spoil, proxy)) as proxy.port:
        yield proxy


async def _spoil(proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Split RTSP's answers and interleaved packets (RFC 2326, 10.12), and pass them on."""
    while True:
        first = await reader.readexactly(1)
        if first == b"$":
            channel, *length = await reader.readexactly(3)
            packet = await reader.readexactly(int.from_bytes(bytes(length), "big"))
            spoilt = proxy.spoil(channel, packet)
            data = b"" if spoilt is None else b"$" + bytes([channel, *length]) + spoilt
        else:
            head = first + await reader.readuntil(b"\r\n\r\n")
            found = _LENGTH.search(head)
            data = head + await reader.readexactly(int(found[1]) if found else 0)
        await proxy.passing.wait()
        writer.write(data)
        await writer.drain()


def _shift(packet: bytearray, place: int, ticks: int, sender_report: bool = False) -> None:
    if not ticks or len(packet) < place + 4 or (sender_report and packet[1] != 200):
        return
    time = int.from_bytes(packet[place : place + 4], "big") + ticks
    packet[place : place + 4] = (time % 2**32).to_bytes(4, "big")
