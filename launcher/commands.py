"""What each command does and prints."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable
from types import ModuleType

from launcher.errors import NoRay
from launcher.member import as_json, as_table
from launcher.node import run_node
from launcher.options import ServerOptions, settings_of, url_of


def _up(flags: Namespace) -> int:
    options = _options(flags)
    url_of(options, "node", options.ports[0])
    fleet = _fleet()
    with fleet.connected(flags.address):
        removed = fleet.remove(first=flags.n + 1)
        fleet.ensure(flags.n, options, on_gpu=flags.gpu)
    more = f"; {', '.join(removed)} removed" if removed else ""
    print(f"{flags.n} agents{more}: see `mastream cluster status`.")
    return 0


def _status(flags: Namespace) -> int:
    fleet = _fleet()
    with fleet.connected(flags.address):
        found = fleet.members()
    print(as_json(found) if flags.json else as_table(found))
    return 0


def _drain(flags: Namespace) -> int:
    fleet = _fleet()
    with fleet.connected(flags.address):
        names = fleet.drain(flags.target, flags.seconds)
    print(f"Drained: {', '.join(names)}. `mastream cluster up` starts them again.")
    return 0


def _down(flags: Namespace) -> int:
    fleet = _fleet()
    with fleet.connected(flags.address):
        names = fleet.remove(seconds=flags.seconds)
    print(f"Removed: {', '.join(names) or 'nothing'}.")
    return 0


def _options(flags: Namespace) -> ServerOptions:
    return ServerOptions(
        folder=flags.data.absolute(),
        host=flags.host,
        ports=flags.ports,
        advertise=flags.advertise,
        settings=settings_of(os.environ),
        flags=tuple(flags.rest),
    )


def _fleet() -> ModuleType:
    """Return the module that uses Ray. Raises NoRay if Ray is not installed."""
    try:
        from launcher import fleet  # noqa: PLC0415  it imports Ray, which may be absent
    except ModuleNotFoundError as error:
        raise NoRay("Ray is not installed: install it with pip install 'mastream[ray]'.") from error
    return fleet


COMMANDS: dict[str, Callable[[Namespace], int]] = {
    "node": run_node,
    "up": _up,
    "status": _status,
    "drain": _drain,
    "down": _down,
}
