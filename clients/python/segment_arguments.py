"""The command-line arguments of ``mastream segment``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

from clients.python.parsing import add_command, server_address

LOCAL_OPTIONS: dict[str, tuple[type, str, str]] = {
    "--engine": (str, "NAME", "what runs the model"),
    "--model": (str, "FILE", "the model to use instead of the shipped one"),
    "--max-batch": (int, "N", "maximum number of streams per step"),
    "--threads": (int, "N", "number of compute threads"),
    "--log-level": (str, "LEVEL", "debug, info, warning, ..."),
}
"""Options of ``python -m server segment``, which runs the model here if there is no --url."""

OUTPUT_OPTIONS: dict[str, tuple[type, str, str]] = {
    "--artefacts": (str, "NAMES", "make only these results, separated by commas"),
    "--classes": (str, "NAMES", "draw and list only these classes, separated by commas"),
    "--opacity": (float, "SHARE", "opacity of the overlay, 0 to 1 (default: 0.5)"),
}
"""Options that a server has, too."""


def add_segment(commands: Any) -> None:
    command = add_command(
        commands,
        "segment",
        "segment a whole video into mask and overlay videos",
        "Without --url the model runs here. With --url the video is uploaded to a server and the "
        "results are downloaded. If the command fails or is stopped, it leaves nothing behind.",
        "mastream segment drive.mp4 -o masks",
        "mastream segment drive.mp4 -o masks --url http://gpu-box:8000",
        "mastream segment drive.mp4 -o masks --artefacts masks.json,classes.csv --classes car,road",
    )
    command.add_argument("video", type=Path, metavar="VIDEO", help="a video file")
    command.add_argument(
        "-o", "--out", type=Path, required=True, metavar="DIR", help="folder for the results"
    )
    command.add_argument(
        "--url", type=server_address, help="use this server, for example http://localhost:8000"
    )
    command.add_argument(
        "--remove", action="store_true", help="with --url: delete the server's copy afterwards"
    )
    command.add_argument(
        "--callback-url",
        metavar="URL",
        help="with --url: an address that the server calls when the video has ended",
    )
    here = command.add_argument_group("without --url")
    for group, table in ((command, OUTPUT_OPTIONS), (here, LOCAL_OPTIONS)):
        for name, (kind, metavar, meaning) in table.items():
            group.add_argument(name, type=kind, metavar=metavar, help=meaning)


def misplaced_of_segment(args: Namespace) -> str:
    """Return a sentence about a wrong combination of options; empty if it is valid."""
    if args.url and (local := given_options(args, LOCAL_OPTIONS)):
        return f"{local[0]} is for a model that runs here: omit either it or --url"
    if args.remove and not args.url:
        return "--remove is for a video on a server: give the server with --url"
    if args.callback_url and not args.url:
        return "--callback-url is called by a server: give the server with --url"
    if args.callback_url and args.remove:
        return "--remove may end the call to --callback-url before it is made: omit either"
    return ""


def given_options(args: Namespace, *tables: Iterable[str]) -> list[str]:
    """Return those of the tables' options that were given, with their values."""
    given = {name: getattr(args, name[2:].replace("-", "_"), None) for name in chain(*tables)}
    chosen = [(name, str(value)) for name, value in given.items() if value is not None]
    return [word for pair in chosen for word in pair]
