"""The arguments of the command ``mastream``: what may be typed, and what it means."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any, NoReturn

from clients.python.addresses import web_address
from clients.python.errors import ClientError
from protocol import DropPolicy, MaskEncoding, MaskSize

WRONG_USE = 2
DEFAULT_URL = "http://127.0.0.1:8000"

EXIT_CODES = """
exit status:
  0 done, 1 failed, 2 used wrongly; stopped by a signal: 130 SIGINT (Ctrl-C), 143 SIGTERM,
  129 SIGHUP. mastream serve finishes its work on SIGINT and SIGTERM and exits with 0.
"""

LOCAL_OPTIONS: dict[str, tuple[type, str, str]] = {
    "--engine": (str, "NAME", "what runs the model"),
    "--model": (str, "FILE", "another model than the shipped one"),
    "--artefacts": (str, "NAMES", "some of the results, separated by commas"),
    "--max-batch": (int, "N", "streams in one step"),
    "--threads": (int, "N", "compute threads"),
    "--log-level": (str, "LEVEL", "debug, info, warning, ..."),
}
"""Options of ``python -m server segment``, which runs the model when no server is named."""


class OneLineParser(ArgumentParser):
    """Reports wrong use in one sentence that names the command's help, not by its whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f"{self.prog}: error: {message}; see {self.prog} --help.\n")


def parse(argv: list[str]) -> tuple[Namespace, list[str]]:
    """The arguments, and those that the server's own command line is to understand.

    Exits with WRONG_USE and one sentence if they are wrong.
    """
    if argv[:1] == ["serve"]:
        return Namespace(command="serve"), argv[1:]
    args, unknown = make_parser().parse_known_args(argv)
    if unknown:
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if fault := _misplaced(args):
        args.parser.error(fault)
    return args, _local_options(args)


def _misplaced(args: Namespace) -> str:
    """Which options do not go together, if any."""
    if args.command == "stream" and args.overlay and args.output == MaskEncoding.NONE:
        return "--overlay needs masks: leave --output none out"
    if args.command != "segment":
        return ""
    if args.url and (local := _local_options(args)):
        return f"{local[0]} is for a model that runs here: leave out either it or --url"
    if args.remove and not args.url:
        return "--remove is for a video on a server: name the server with --url"
    return ""


def _local_options(args: Namespace) -> list[str]:
    """Those of LOCAL_OPTIONS that were given, with their values."""
    given = {name: getattr(args, name[2:].replace("-", "_"), None) for name in LOCAL_OPTIONS}
    chosen = [(name, str(value)) for name, value in given.items() if value is not None]
    return [word for pair in chosen for word in pair] if args.command == "segment" else []


def make_parser() -> ArgumentParser:
    parser = OneLineParser(
        "mastream",
        description="Real-time video segmentation: every stream has its own memory.",
        epilog=_examples(
            "mastream serve",
            "mastream segment drive.mp4 -o masks",
            "mastream stream 0 --overlay camera.mp4",
            "mastream load -n 16 --rate 30 --seconds 60",
        )
        + EXIT_CODES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("serve", help="start the server (its options: mastream serve --help)")
    _add_segment(commands)
    _add_stream(commands)
    _add_load(commands)
    return parser


def _add_segment(commands: Any) -> None:
    command = _command(
        commands,
        "segment",
        "segment a whole video into mask and overlay videos",
        "Without --url the model runs here. With --url the video is uploaded, followed, and its "
        "results are downloaded. Nothing is kept of a video that is stopped or fails.",
        "mastream segment drive.mp4 -o masks",
        "mastream segment drive.mp4 -o masks --url http://gpu-box:8000",
    )
    command.add_argument("video", type=Path, metavar="VIDEO", help="a video file")
    command.add_argument(
        "-o", "--out", type=Path, required=True, metavar="DIR", help="folder for the results"
    )
    command.add_argument(
        "--url", type=_address, help="a server to do it, like http://localhost:8000"
    )
    command.add_argument(
        "--remove", action="store_true", help="with --url: remove the video there afterwards"
    )
    here = command.add_argument_group("without --url")
    for name, (kind, metavar, tells) in LOCAL_OPTIONS.items():
        here.add_argument(name, type=kind, metavar=metavar, help=tells)


def _add_stream(commands: Any) -> None:
    command = _command(
        commands,
        "stream",
        "send a video or camera to a server frame by frame",
        "Shows frames a second, drops and latency while it runs, and a summary last.",
        "mastream stream drive.mp4 --policy every --overlay out.mp4",
        "mastream stream 0                      # the first camera",
        "mastream stream rtsp://camera/main --url http://gpu-box:8000",
    )
    command.add_argument(
        "source", metavar="VIDEO|CAMERA|URL", help="a file, a camera's index or a stream's address"
    )
    _add_stream_options(command)
    command.add_argument("--overlay", type=Path, metavar="OUT.mp4", help="save masks over pictures")
    command.add_argument(
        "--rate",
        type=_positive,
        metavar="FPS",
        help="frames a second of a file (its own; with --policy every as fast as they go)",
    )


def _add_load(commands: Any) -> None:
    command = _command(
        commands,
        "load",
        "load a server with many streams and measure it",
        "Sends a moving pattern, or a video's first frames, and tells p50, p95 and p99 of every "
        "stage, the drops by cause, and whether each frame was answered exactly once.",
        "mastream load -n 16 --rate 30 --seconds 60",
        "mastream load -n 4 --video drive.mp4 --policy every --json result.json",
    )
    _add_stream_options(command)
    command.add_argument("-n", "--streams", type=_count, default=4, help="streams (4)")
    command.add_argument("--rate", type=_positive, default=30.0, metavar="FPS", help="of each (30)")
    command.add_argument(
        "--seconds", type=_positive, default=10.0, metavar="S", help="how long (10)"
    )
    command.add_argument("--video", metavar="FILE", help="footage to send, instead of a pattern")
    command.add_argument(
        "--picture", type=_size, default=(480, 360), metavar="WxH", help="pattern size (480x360)"
    )
    command.add_argument(
        "--json", type=Path, metavar="OUT", help="write the result as JSON; - for standard output"
    )


def _add_stream_options(command: ArgumentParser) -> None:
    command.add_argument(
        "--url", type=_address, default=DEFAULT_URL, help=f"the server ({DEFAULT_URL})"
    )
    command.add_argument("--model", metavar="NAME", help="one of the server's models (its first)")
    _add_word(command, "--policy", DropPolicy, "drop what is late, or wait for every frame")
    _add_word(command, "--output", MaskEncoding, "how masks come back")
    _add_word(command, "--size", MaskSize, "masks of the picture's size or the model's")
    command.add_argument(
        "--budget-ms", type=_positive, metavar="MS", help="drop frames older than this"
    )


def _add_word(command: ArgumentParser, name: str, words: Any, tells: str) -> None:
    first = next(iter(words))
    choices = [str(word) for word in words]
    command.add_argument(name, choices=choices, default=str(first), help=f"{tells} ({first})")


def _command(commands: Any, name: str, short: str, long: str, *examples: str) -> ArgumentParser:
    command: ArgumentParser = commands.add_parser(
        name,
        help=short,
        description=f"{short[0].upper()}{short[1:]}. {long}",
        epilog=_examples(*examples),
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.set_defaults(parser=command)
    return command


def _examples(*lines: str) -> str:
    return "examples:\n" + "\n".join(f"  {line}" for line in lines)


def _address(text: str) -> str:
    try:
        web_address(text)
    except ClientError as error:
        raise ArgumentTypeError(str(error)) from error
    return text


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 10_000:
        raise ArgumentTypeError(f"{text!r} is not a whole number in 1..10000")
    return int(text)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) * int(height)):
        raise ArgumentTypeError(f"{text!r} is not a size like 480x360")
    return int(width), int(height)
