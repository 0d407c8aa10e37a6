"""Three servers do what comes by chance; their ledgers agree with a model of a few lines."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ledgers import PIECES_OF_TEN, SIGNATURE, TERMS, Server, servers

from server.frame import Losses
from server.videos.keeping import Lost
from server.videos.ledger import Taken

pytestmark = pytest.mark.anyio

ACTIONS = 150
NUMBERS = set(range(len(PIECES_OF_TEN.pieces)))


@dataclass
class Model:
    """Who has which piece, whose leases are over, and what is done; by the folder of an attempt."""

    has: dict[int, tuple[str, str]] = field(default_factory=dict)
    over: set[int] = field(default_factory=set)
    done: dict[int, str] = field(default_factory=dict)

    def free(self) -> set[int]:
        return NUMBERS - set(self.done) - (set(self.has) - self.over)

    def is_kept(self, taken: Taken) -> bool:
        return self.has.get(taken.piece.number, ("", ""))[1] == taken.folder

    def drop(self, number: int) -> None:
        del self.has[number]
        self.over.discard(number)


class Chance:
    """Does one action after the other. ``tried`` are all attempts that there ever were."""

    def __init__(self, seed: int, all_of_them: list[Server]) -> None:
        self.random = random.Random(seed)
        self.servers = all_of_them
        self.model = Model()
        self.tried: list[tuple[Server, Taken]] = []

    async def act(self) -> None:
        names = ("takes", "takes", "takes", "renews", "finishes", "finishes", "releases", "fails")
        name = self.random.choice((*names, "lets_time_pass", "restarts", "plans"))
        await getattr(self, name)(self.random.choice(self.servers))

    async def takes(self, server: Server) -> None:
        await server.ledger.follow()
        free = self.model.free()
        assert await server.ledger.any_free() is bool(free)
        taken = await server.ledger.take()
        if taken is None:
            assert not free
            return
        number = taken.piece.number
        assert number in free
        assert taken.folder not in {one.folder for _, one in self.tried}, "no name comes twice"
        server.writes(taken)
        self.tried.append((server, taken))
        self.model.has[number] = server.name, taken.folder
        self.model.over.discard(number)

    def some(self) -> tuple[Server, Taken] | None:
        """One of the last attempts, whatever has become of it."""
        return self.random.choice(self.tried[-8:]) if self.tried else None

    async def renews(self, _: Server) -> None:
        if (found := self.some()) is not None:
            server, taken = found
            kept = self.model.is_kept(taken)
            assert await server.ledger.renew(taken, 5) is kept
            if kept:
                self.model.over.discard(taken.piece.number)

    async def finishes(self, _: Server) -> None:
        if (found := self.some()) is not None:
            server, taken = found
            number = taken.piece.number
            kept, was_done = self.model.is_kept(taken), self.model.done.get(number)
            assert await server.ledger.finish(taken, 10, Losses()) is (
                kept or was_done == taken.folder
            )
            if kept:
                self.model.drop(number)
                self.model.done[number] = taken.folder

    async def releases(self, _: Server) -> None:
        if (found := self.some()) is not None:
            server, taken = found
            await server.ledger.release(taken)
            if self.model.is_kept(taken):
                self.model.drop(taken.piece.number)

    async def fails(self, _: Server) -> None:
        if (found := self.some()) is not None:
            server, taken = found
            assert (await server.ledger.fail(taken) > 0) is self.model.is_kept(taken)

    async def lets_time_pass(self, server: Server) -> None:
        server.ages(TERMS.lease + 1)
        self.model.over = set(self.model.has)

    async def restarts(self, server: Server) -> None:
        server.rows.free(server.name)
        for number in [n for n, (owner, _) in self.model.has.items() if owner == server.name]:
            self.model.drop(number)

    async def plans(self, server: Server) -> None:
        if self.random.random() < 0.8:
            return
        held = set(self.model.has) - self.model.over
        try:
            await server.plan()
        except Lost:
            assert held
            server.rows.free(server.name, died=False)
            for number in [n for n, (owner, _) in self.model.has.items() if owner == server.name]:
                self.model.drop(number)
        else:
            assert not held
            self.model = Model()
            assert not [*server.folder.glob("*")], "nothing is left of the plan before"


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_servers_do_each_piece_is_done_once(
    database_url: str, tmp_path: Path, seed: int
) -> None:
    names = [SIGNATURE] * 3
    async with servers(database_url, tmp_path / "pieces", *names) as all_of_them:
        await all_of_them[0].plan()
        chance = Chance(seed, list(all_of_them))
        for _ in range(ACTIONS):
            await chance.act()
        await chance.lets_time_pass(all_of_them[0])
        while chance.model.free():
            await chance.takes(chance.random.choice(all_of_them))
            server, taken = chance.tried[-1]
            await server.finishes(taken)
            chance.model.drop(taken.piece.number)
            chance.model.done[taken.piece.number] = taken.folder
        for server in all_of_them:
            await server.ledger.follow()
            finished = {one.number: one.folder for one in await server.ledger.finished()}
            assert finished == chance.model.done and set(finished) == NUMBERS
        assert {path.name for path in server.folder.glob("*")} == set(finished.values())
