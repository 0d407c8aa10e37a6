"""The command-line arguments of ``mastream cameras``."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from clients.python.parsing import (
    OneLineParser,
    add_command,
    add_url,
    add_word,
    positive_number,
)
from protocol import DropPolicy

KEPT = {
    "--on-gap": "after a pause",
    "--on-connect": "after a new connection",
    "--on-size": "when the size of the pictures changes",
    "--on-cut": "at a scene cut",
}


def add_cameras(commands: Any) -> None:
    cameras = add_command(
        commands,
        "cameras",
        "let a server pull cameras by their addresses, and watch them",
        "The server connects to each camera itself, and connects again after a failure or its own "
        "restart.",
        "mastream cameras add front rtsp://user:password@camera/main --max-fps 10",
        "mastream cameras list --watch",
        "mastream cameras watch front --overlay front.mp4",
        "mastream cameras remove front",
    )
    actions = cameras.add_subparsers(
        dest="action", required=True, metavar="ACTION", parser_class=OneLineParser
    )
    _add_add(actions)
    _add_list(actions)
    _add_watch(actions)
    _add_named(actions, "pause", "close the connection to a camera until it is resumed")
    _add_named(actions, "resume", "connect to a camera again, also after it has ended or failed")
    _add_record(actions)
    _add_named(actions, "remove", "make the server forget a camera")


def _add_add(actions: Any) -> None:
    command = add_command(
        actions,
        "add",
        "let the server pull a camera from now on",
        "User name and password in the address are stored by the server and never shown.",
        "mastream cameras add front rtsp://user:password@camera/main --max-fps 10",
        "mastream cameras add yard - < address.txt    # keeps the password out of ps",
    )
    _add_name(command, "lower-case letters, digits and hyphens")
    command.add_argument(
        "source",
        metavar="ADDRESS",
        help="rtsp, rtsps, http or https; - reads it from standard input",
    )
    _add_pace(command)
    _add_memory(command)
    command.add_argument(
        "--publish", metavar="RTSP", help="send the overlay to this address, as RTSP"
    )
    command.add_argument(
        "--replace", action="store_true", help="first remove a camera of this name, if there is one"
    )
    command.add_argument("--paused", action="store_true", help="do not connect before resume")
    add_url(command)


def _add_pace(command: ArgumentParser) -> None:
    add_word(command, "--policy", DropPolicy, "drop late frames, or segment every frame")
    command.add_argument(
        "--budget-ms", type=positive_number, metavar="MS", help="drop frames older than this"
    )
    command.add_argument(
        "--max-fps",
        type=positive_number,
        metavar="FPS",
        help="skip frames beyond this rate",
    )
    command.add_argument("--loop", action="store_true", help="begin a file again at its end")


def _add_memory(command: ArgumentParser) -> None:
    memory = command.add_argument_group("the stream's memory")
    memory.add_argument(
        "--max-gap",
        type=positive_number,
        metavar="S",
        help="seconds without a picture from which --on-gap applies (default: 2)",
    )
    for name, when in KEPT.items():
        memory.add_argument(
            name,
            choices=["reset", "keep"],
            default="reset",
            help=f"reset or keep the memory {when} (default: reset)",
        )


def _add_list(actions: Any) -> None:
    command = add_command(
        actions,
        "list",
        "list the cameras with their states and rates",
        "The rates are frames per second from the camera and to the viewers, over the last ten "
        "seconds; p99 is from the arrival of a picture to its mask.",
        "mastream cameras list --watch",
    )
    command.add_argument(
        "--watch", action="store_true", help="show the list again every second, until stopped"
    )
    add_url(command)


def _add_watch(actions: Any) -> None:
    command = add_command(
        actions,
        "watch",
        "watch the masks of a camera",
        "Prints a line per second: rate, losses, and the classes by area.",
        "mastream cameras watch front",
        "mastream cameras watch front --overlay front.mp4 --seconds 60",
    )
    _add_name(command)
    command.add_argument(
        "--overlay", type=Path, metavar="OUT.mp4", help="save a video with the masks drawn on it"
    )
    command.add_argument(
        "--seconds", type=positive_number, metavar="S", help="stop after this many seconds"
    )
    add_url(command)


def _add_record(actions: Any) -> None:
    command = add_command(
        actions,
        "record",
        "begin or end a recording of a camera",
        "The server writes the pictures and a hash of each mask to a file that mastream replay "
        "checks; it empties the camera's memory first.",
        "mastream cameras record front",
        "mastream cameras record front --stop",
    )
    _add_name(command)
    command.add_argument("--stop", action="store_true", help="end the recording")
    add_url(command)


def _add_named(actions: Any, action: str, meaning: str) -> None:
    command = add_command(actions, action, meaning, "", f"mastream cameras {action} front")
    _add_name(command)
    add_url(command)


def _add_name(command: ArgumentParser, meaning: str = "the name that it was added with") -> None:
    command.add_argument("name", metavar="NAME", help=meaning)
