"""Watching across lost connections, with scripted connections."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Sequence

import pytest

from clients.python.errors import ClientError, GoneAway, NotFound, TooSlow, Unreachable
from clients.python.mask import Mask
from clients.python.pictures import Frame
from clients.python.reconnecting import Backoff, Lost
from clients.python.viewing import Returned, Viewing
from protocol import MaskEncoding, MaskHeader, MemoryState

pytestmark = pytest.mark.anyio

QUICK = Backoff(first=0.001, longest=0.001)
LOST = Unreachable("The connection to the server was lost.")


def mask(seq: int) -> Mask:
    header = MaskHeader(seq=seq, encoding=MaskEncoding.NONE, width=4, height=2)
    return Mask(header, None, b"", Frame(b""), math.nan)


class Played:
    """Connections one after the other: each has the seqs of its masks, or None if there is no
    answer, and the error with which it ends; without one, the stream has ended."""

    def __init__(self, *parts: tuple[Sequence[int] | None, ClientError | None]) -> None:
        self.parts = list(parts)
        self.closed = 0

    async def view(self, on_ready: Callable[[MemoryState], None]) -> AsyncGenerator[Mask]:
        seqs, error = self.parts.pop(0)
        try:
            if seqs is not None:
                on_ready(MemoryState.COLD)
            for seq in seqs or ():
                yield mask(seq)
            if error:
                raise error
        finally:
            self.closed += 1


async def test_masks_continue_after_a_lost_connection() -> None:
    events: list[Lost | Returned] = []
    played = Played(
        ([1, 2], LOST), (None, LOST), ([7], GoneAway("It stops.", "", 0.001)), ([0], None)
    )
    seqs = [one.seq async for one in Viewing(played.view, QUICK, events.append).masks()]
    assert seqs == [1, 2, 7, 0] and played.closed == 4
    assert [type(one) for one in events] == [Lost, Lost, Returned, Lost, Returned]
    assert [one.memory for one in events if isinstance(one, Returned)] == [MemoryState.COLD] * 2
    attempts = [one.attempt for one in events if isinstance(one, Lost)]
    assert attempts == [1, 2, 1], "counted anew once there was a connection"


@pytest.mark.parametrize(
    "error", [NotFound("It was removed.", "not_found"), TooSlow("Read faster.")]
)
async def test_what_will_not_pass_is_raised(error: ClientError) -> None:
    played = Played(([1], error), ([2], None))
    with pytest.raises(type(error)):
        _ = [one async for one in Viewing(played.view, QUICK, None).masks()]
    assert len(played.parts) == 1


async def test_a_first_connection_that_fails_is_raised_at_once() -> None:
    played = Played((None, LOST), ([1], None))
    with pytest.raises(Unreachable):
        _ = [one async for one in Viewing(played.view, QUICK, None).masks()]
    assert len(played.parts) == 1


async def test_a_viewer_gives_up_after_a_while() -> None:
    played = Played(([1], LOST), ([2], None))
    hasty = Backoff(first=0.001, longest=0.001, give_up=0.0)
    with pytest.raises(Unreachable):
        _ = [one async for one in Viewing(played.view, hasty, None).masks()]


async def test_leaving_early_closes_the_connection() -> None:
    played = Played(([1, 2, 3], None))
    masks = Viewing(played.view, QUICK, None).masks()
    assert (await anext(masks)).seq == 1
    await masks.aclose()
    assert played.closed == 1
