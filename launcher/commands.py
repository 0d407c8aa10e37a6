"""The actions and the output of each command."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Callable, Sequence
from types import ModuleType

from launcher import reported
from launcher.errors import NoRay, NoServer
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
    if flags.url is not None:
        print(_reported(flags.url, flags.json))
        return 0
    fleet = _fleet()
    with fleet.connected(flags.address):
        found = fleet.members()
    if flags.json:
        print(as_json(found))
        return 0
    print(as_table(found))
    urls = [one.report.url for one in found if one.report and one.report.ready and one.report.url]
    if urls:
        print(f"\n{_first_report(urls)}")
    return 0


def _reported(url: str, as_json_text: bool) -> str:
    found = reported.ask(url)
    return json.dumps(found, indent=2) if as_json_text else reported.as_text(found)


def _first_report(urls: Sequence[str]) -> str:
    """Return the cluster as reported by the first server that answers, or why the last one does not
    answer."""
    trouble = ""
    for url in urls:
        try:
            return _reported(url, as_json_text=False)
        except NoServer as error:
            trouble = str(error)
    return trouble


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
