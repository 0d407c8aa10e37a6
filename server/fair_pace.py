"""How fast clients are read: as fast as they send, until the event loop is late. Then the clients
that cause the most work are held back, at most to an equal share each. Pure: no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LATE_SECONDS = 0.0025
"""How late the loop may be on average before anybody is held back. A frame passes it about ten
times on its way to its mask."""

PERIOD_SECONDS = 0.1
"""How often the level is adjusted."""

CUT, GROWTH = 0.5, 1.02
"""The factors of the level after a period in which the loop was late, or was not."""

ALWAYS = 0.4
"""The share of the loop's time that all clients together always have, whatever makes it late."""

BURST_SECONDS = 0.1
"""How many seconds of earned work a client can save up."""

COMPETES_SECONDS = 5.0
"""For how many seconds after its last message a client counts as competing."""

_MESSAGE_SECONDS, _BYTE_SECONDS, _BODY_BYTE_SECONDS = 1e-4, 1.5e-9, 5e-9
"""The event loop's time for a client's message, and for a byte of a request's body, which is parsed
in smaller pieces; only the magnitude matters."""


def reading_cost(size: int) -> float:
    """Return about how many seconds of the event loop a message of ``size`` bytes takes."""
    return _MESSAGE_SECONDS + size * _BYTE_SECONDS


def body_cost(size: int) -> float:
    """Return about how many seconds of the event loop ``size`` bytes of a request's body take."""
    return size * _BODY_BYTE_SECONDS


@dataclass(slots=True)
class _Account:
    """One client: the seconds of work that it may still cause, below 0 if it has caused too much,
    and when that was computed; its work in this period, its share of the loop's time in the last
    periods, and the time of its last work."""

    left: float
    at: float
    work: float = 0.0
    share: float = 0.0
    seen: float = 0.0


class FairPace:
    """Shares the event loop's time among clients by one level: a client that causes less work than
    the level is read at once; all others are held back to the level (max-min fairness).

    The level falls while the loop is late and rises otherwise, as TCP's window does. There is no
    level while no client needs to be held back, or while fewer than two clients compete. Mutable
    state: the level in seconds of work per second, the clients' accounts, and how late the loop was
    in this period. ``now`` is passed in.
    """

    def __init__(self) -> None:
        self.level: float | None = None
        self._accounts: dict[str, _Account] = {}
        self._began: float | None = None
        self._late = 0.0
        self._observed = 0

    def __repr__(self) -> str:
        level = "no level" if self.level is None else f"level {self.level:.3f}"
        return f"<FairPace {level}, {len(self._accounts)} clients>"

    def spend(self, client: str, seconds: float, now: float) -> None:
        """Record work that a client has caused."""
        account = self._accounts.setdefault(client, _Account(0.0, now))
        account.work += seconds
        account.seen = now
        if self.level is not None:
            self._earn(account, self.level, now)
            account.left -= seconds

    def wait(self, client: str, now: float) -> float:
        """Return the seconds until more may be read from a client."""
        account = self._accounts.get(client)
        if self.level is None or account is None:
            return 0.0
        self._earn(account, self.level, now)
        return max(0.0, -account.left / self.level)

    def observe(self, late: float, now: float) -> None:
        """Record by how many seconds the loop was late just now; adjust the level after each
        period."""
        if self._began is None:
            self._began = now
        self._late += late
        self._observed += 1
        if now - self._began >= PERIOD_SECONDS:
            self._adjust(now - self._began, self._late / self._observed, now)
            self._began, self._late, self._observed = now, 0.0, 0

    def _earn(self, account: _Account, level: float, now: float) -> None:
        earned = account.left + (now - account.at) * level
        account.left, account.at = min(level * BURST_SECONDS, earned), now

    def _adjust(self, seconds: float, late: float, now: float) -> None:
        self._accounts = {
            client: account
            for client, account in self._accounts.items()
            if now - account.seen < COMPETES_SECONDS
        }
        for account in self._accounts.values():
            account.share = (account.share + account.work / seconds) / 2
            account.work = 0.0
            if self.level is None:
                account.left, account.at = 0.0, now
            else:
                self._earn(account, self.level, now)
        self.level = adjusted(self.level, [one.share for one in self._accounts.values()], late)


def adjusted(level: float | None, shares: Sequence[float], late: float) -> float | None:
    """Return the next level, given the shares of the loop's time that the competing clients have
    caused, and by how many seconds it was late on average."""
    if len(shares) < 2:
        return None
    most = max(shares)
    if late > LATE_SECONDS:
        present = most if level is None else min(level, most)
        return max(ALWAYS / len(shares), present * CUT)
    if level is None or level > 2 * most:
        return None
    return level * GROWTH
