"""Let clients of every kind connect and leave for a while, then print what is left of them.

    python -m benchmarks.soak --seconds 1200 [--clients 16] [--uploads 2] [--cameras 3]
        [--streams N] [--kinds whole aborts ...] [--seed 0]

``--cameras`` pulled streams are added, watched and removed at any time; one more camera is killed
and started again, if GStreamer's RTSP server is installed. ``--streams`` ends the soak after that
many pushed streams, if that is sooner. The exit code is 1 if a frame was not answered, was answered
twice or got another stream's mask, if a client met anything unexpected, or if a session, pulled
stream, thread or open file is left over.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

from benchmarks.cameras import why_none
from benchmarks.servers import soak_server
from benchmarks.soak import pulled, sockets, uploads
from benchmarks.soak.report import report
from benchmarks.soak.tally import Tally
from benchmarks.soak.watch import Sample, look, sessions

WARM_UP_SECONDS = 20.0
"""Seconds until threads and pools exist; growth is measured from then on."""

QUIET_SECONDS = 15.0
"""The time in which the server must release the last clients."""


@dataclass(slots=True)
class Soak:
    """One soak of one server. Mutable state: the counts and samples so far."""

    url: str
    pid: int
    seconds: float
    streams: int
    kinds: Sequence[str]
    seed: int
    tally: Tally = field(default_factory=Tally)
    samples: list[Sample] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def now(self) -> float:
        return time.monotonic() - self.began

    @property
    def is_over(self) -> bool:
        streams = sum(count for kind, count in self.tally.lives.items() if kind in sockets.KINDS)
        return self.now >= self.seconds or bool(self.streams and streams >= self.streams)

    async def run(self, clients: int, uploaders: int, cameras: int) -> bool:
        """Soak, wait until the server is quiet, print the table; return whether all is well."""
        video = uploads.clip()
        with pulled.short_lived() as camera:
            await self._soak(clients, uploaders, cameras, video, camera)
        left = await self._quiet()
        print(report(self.tally, self.samples, left, WARM_UP_SECONDS))
        warm, last = [one for one in self.samples if one.at >= WARM_UP_SECONDS], self.samples[-1]
        grown = len(warm) > 1 and last.threads > max(one.threads for one in warm[:-1])
        return self.tally.clean and not left and not grown

    async def _soak(
        self, clients: int, uploaders: int, cameras: int, video: bytes, camera: str
    ) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(clients):
                tasks.create_task(self._streams(random.Random(f"{self.seed}/{number}")))
            for number in range(uploaders):
                tasks.create_task(self._videos(video, random.Random(f"{self.seed}/v{number}")))
            for number in range(cameras):
                dice = random.Random(f"{self.seed}/c{number}")
                tasks.create_task(self._cameras(camera, dice))
            if cameras and not why_none():
                tasks.create_task(self._mortal(random.Random(f"{self.seed}/m")))
            tasks.create_task(self._watch())

    async def _streams(self, dice: random.Random) -> None:
        weights = [sockets.KINDS[kind][1] for kind in self.kinds]
        while not self.is_over:
            kind = dice.choices(self.kinds, weights)[0]
            try:
                async with asyncio.timeout(4 * sockets.PATIENCE):
                    await sockets.KINDS[kind][0](self.url, dice, self.tally)
            except Exception as error:  # the table reports it, whatever it is
                self.tally.trouble(kind, error)
            self.tally.life(kind)

    async def _videos(self, video: bytes, dice: random.Random) -> None:
        async with self._http() as http:
            while not self.is_over:
                try:
                    await uploads.upload(http, video, dice, self.tally)
                except Exception as error:
                    self.tally.trouble("upload", error)

    async def _cameras(self, camera: str, dice: random.Random) -> None:
        async with self._http() as http:
            while not self.is_over:
                try:
                    await pulled.come_and_go(http, self.url, camera, dice, self.tally)
                except Exception as error:
                    self.tally.trouble("camera", error)

    async def _mortal(self, dice: random.Random) -> None:
        async with self._http() as http:
            try:
                await pulled.dies_again_and_again(http, self.url, dice, self.tally, self.over)
            except Exception as error:
                self.tally.trouble("mortal camera", error)

    async def _watch(self) -> None:
        while not self.is_over:
            self.samples.append(look(self.pid, self.now))
            await asyncio.sleep(1.0)
        self.over.set()

    async def _quiet(self) -> int:
        """Wait until no session or pulled stream is left, for at most QUIET_SECONDS; return how
        many are left."""
        end = self.now + QUIET_SECONDS
        async with self._http() as http:
            while True:
                left = sessions((await http.get("/metrics")).text) + await pulled.left(http)
                if not left or self.now >= end:
                    break
                await asyncio.sleep(0.2)
        await asyncio.sleep(1.0)
        self.samples.append(look(self.pid, self.now))
        return left

    def _http(self) -> httpx.AsyncClient:
        # The server closes connections that are idle for 5 s: one that is about to be closed would
        # swallow a request.
        fresh = httpx.Limits(keepalive_expiry=1.0)
        address = self.url.replace("ws", "http", 1)
        return httpx.AsyncClient(base_url=address, timeout=60, limits=fresh)


def main() -> None:
    parser = ArgumentParser("python -m benchmarks.soak")
    parser.add_argument("--seconds", type=float, default=1200.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--uploads", type=int, default=2)
    parser.add_argument("--cameras", type=int, default=3)
    parser.add_argument("--streams", type=int, default=0)
    kinds = list(sockets.KINDS)
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with soak_server() as (url, pid):
        soak = Soak(url, pid, given.seconds, given.streams, given.kinds, given.seed)
        well = asyncio.run(soak.run(given.clients, given.uploads, given.cameras))
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
