"""The command line of ``mastream cluster``."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from launcher.options import ports_of


def parse(arguments: Sequence[str]) -> Namespace:
    """Return the parsed arguments; ``rest`` are those after ``--``, for another program.

    Exits with 2 if they are wrong.
    """
    own, rest = _divided(list(arguments))
    parser = make_parser()
    flags = parser.parse_args(own)
    if rest and flags.action not in ("node", "up"):
        parser.error(f"{flags.action} passes no arguments on")
    flags.rest = rest
    return flags


def _divided(arguments: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def make_parser() -> ArgumentParser:
    """Return the parser; ``action`` is the command that was given."""
    parser = ArgumentParser(
        "mastream cluster",
        description="Start, watch and drain servers on several machines, with Ray as the launcher.",
        epilog="Arguments after -- are passed to `ray start` (node) or `mastream serve` (up). "
        "Exit status: 0 success, 1 failure, 2 wrong usage.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")
    _add_node(actions)
    _add_up(actions)
    status = actions.add_parser(
        "status",
        help="show the agents, the servers, their streams and recent changes",
        description="Show Ray's agents, and the cluster as one of their servers reports it. With "
        "--url only that server is asked, without Ray. MASTREAM_KEY is sent as the API key.",
    )
    status.add_argument("--url", metavar="URL", help="any server, such as http://a.example:8000")
    status.add_argument("--json", action="store_true", help="print it as JSON")
    drain = actions.add_parser("drain", help="drain the servers of a machine or an agent")
    drain.add_argument("target", metavar="NODE|AGENT", help="a name shown by status")
    down = actions.add_parser("down", help="drain all servers and remove all agents")
    for action in (drain, down):
        action.add_argument(
            "--seconds", type=float, default=45.0, metavar="S", help="longest wait (45)"
        )
    for action in (status, drain, down):
        _add_address(action)
    return parser


def _add_node(actions: Any) -> None:
    node = actions.add_parser("node", help="run Ray on this machine, in the foreground")
    node.add_argument("--join", metavar="HOST:PORT", help="join this head; without it, be the head")
    node.add_argument("--port", type=int, default=6379, help="the head's port (6379)")
    node.add_argument("--ip", metavar="IP", help="address of this machine for the others")
    node.add_argument(
        "--engines", type=_number, default=1, metavar="N", help="servers that may run here (1)"
    )


def _add_up(actions: Any) -> None:
    up = actions.add_parser("up", help="keep N servers running, each by an agent")
    up.add_argument("-n", type=_count, required=True, metavar="N", help="number of servers")
    up.add_argument("--gpu", action="store_true", help="give each server its own GPU")
    up.add_argument(
        "--data", type=Path, default=Path("data"), metavar="DIR", help="folder of folders (data)"
    )
    up.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    up.add_argument(
        "--ports", type=_ports, default=(8000, 8099), metavar="FIRST-LAST", help="(8000-8099)"
    )
    up.add_argument(
        "--advertise",
        metavar="URL",
        help="a server's address for clients (http://{node}:{port}); {ip} is its machine's address",
    )
    _add_address(up)


def _add_address(action: ArgumentParser) -> None:
    action.add_argument(
        "--address", default="auto", metavar="HOST:PORT", help="Ray's head (the one used here)"
    )


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise ArgumentTypeError("give at least 1")
    return number


def _number(text: str) -> int:
    if (number := int(text)) < 0:
        raise ArgumentTypeError("give at least 0")
    return number


def _ports(text: str) -> tuple[int, int]:
    try:
        return ports_of(text)
    except ValueError as error:
        raise ArgumentTypeError(
            f"{text!r} is not a range of ports: write it as 8000-8099"
        ) from error
