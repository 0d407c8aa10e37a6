"""The command-line arguments of ``mastream``; those of ``segment`` are in segment_arguments, those
of ``cameras`` in camera_arguments."""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction, Namespace, RawDescriptionHelpFormatter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from clients.python.camera_arguments import add_cameras
from clients.python.parsing import (
    OneLineParser,
    add_command,
    add_url,
    add_word,
    example_lines,
    picture_size,
    positive_number,
    whole_number,
)
from clients.python.segment_arguments import (
    LOCAL_OPTIONS,
    OUTPUT_OPTIONS,
    add_segment,
    given_options,
    misplaced_of_segment,
)
from protocol import DropPolicy, MaskEncoding, MaskSize

EXIT_CODES = """
exit status:
  0 success; 1 failure; 2 wrong usage; if stopped by a signal: 130 SIGINT (Ctrl-C), 143 SIGTERM,
  129 SIGHUP. On SIGINT and SIGTERM, mastream serve finishes its work and exits with 0.
"""

REPLAY_OPTIONS = ("--engine", "--model", "--threads", "--log-level")
"""Those of LOCAL_OPTIONS that ``python -m server replay`` has, too."""


def parse(argv: list[str]) -> tuple[Namespace, list[str]]:
    """Return the parsed arguments, and those to pass on to the server's own command line.

    Exits with WRONG_USE and one sentence if they are wrong.
    """
    if argv[:1] in (["serve"], ["keys"], ["cluster"]):
        return Namespace(command=argv[0]), argv[1:]
    args, unknown = make_parser().parse_known_args(argv)
    if unknown:
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if fault := _misplaced(args):
        args.parser.error(fault)
    is_local = args.command in ("segment", "replay")
    return args, given_options(args, LOCAL_OPTIONS, OUTPUT_OPTIONS) if is_local else []


def _misplaced(args: Namespace) -> str:
    """Return a sentence about a wrong combination of options; empty if it is valid."""
    if args.command == "stream" and args.overlay and args.output == MaskEncoding.NONE:
        return "--overlay needs masks: omit --output none"
    return misplaced_of_segment(args) if args.command == "segment" else ""


def make_parser() -> ArgumentParser:
    parser = OneLineParser(
        "mastream",
        description="Real-time video segmentation: every stream has its own memory.",
        epilog=example_lines(
            "mastream serve",
            "mastream segment drive.mp4 -o masks",
            "mastream stream 0 --overlay camera.mp4",
            "mastream load -n 16 --rate 30 --seconds 60",
            "mastream cameras add front rtsp://camera/main",
            "mastream top",
        )
        + EXIT_CODES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mastream {version('mastream')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("serve", help="start the server (its options: mastream serve --help)")
    commands.add_parser("keys", help="make and revoke API keys (its actions: mastream keys --help)")
    commands.add_parser(
        "cluster", help="run servers on several machines (its actions: mastream cluster --help)"
    )
    add_segment(commands)
    _add_stream(commands)
    _add_load(commands)
    _add_replay(commands)
    add_cameras(commands)
    _add_top(commands)
    return parser


def _add_stream(commands: Any) -> None:
    command = add_command(
        commands,
        "stream",
        "send a video or camera to a server frame by frame",
        "Shows frame rate, drops and latency while it runs, and a summary at the end.",
        "mastream stream drive.mp4 --policy every --overlay out.mp4",
        "mastream stream 0                      # the first camera",
        "mastream stream rtsp://camera/main --url http://gpu-box:8000",
    )
    command.add_argument(
        "source", metavar="VIDEO|CAMERA|URL", help="a file, a camera's index or a stream's URL"
    )
    _add_stream_options(command)
    command.add_argument(
        "--overlay", type=Path, metavar="OUT.mp4", help="save a video with the masks drawn on it"
    )
    command.add_argument(
        "--resume",
        action=BooleanOptionalAction,
        default=True,
        help="connect again if the connection is lost, and continue without losing a mask "
        "(default: --resume)",
    )
    command.add_argument(
        "--rate",
        type=positive_number,
        metavar="FPS",
        help="frames per second to send a file at (default: the file's own rate; with "
        "--policy every as fast as possible)",
    )


def _add_load(commands: Any) -> None:
    command = add_command(
        commands,
        "load",
        "load a server with many streams and measure it",
        "Sends a moving pattern, or a video's first frames, and reports p50, p95 and p99 of every "
        "stage, the drops by cause, and whether each frame was answered exactly once.",
        "mastream load -n 16 --rate 30 --seconds 60",
        "mastream load -n 4 --video drive.mp4 --policy every --json result.json",
    )
    _add_stream_options(command)
    command.add_argument(
        "-n", "--streams", type=whole_number, default=4, help="number of streams (default: 4)"
    )
    command.add_argument(
        "--rate",
        type=positive_number,
        default=30.0,
        metavar="FPS",
        help="frames per second of each stream (default: 30)",
    )
    command.add_argument(
        "--seconds", type=positive_number, default=10.0, metavar="S", help="duration (default: 10)"
    )
    command.add_argument("--video", metavar="FILE", help="a video to send instead of the pattern")
    command.add_argument(
        "--picture",
        type=picture_size,
        default=(480, 360),
        metavar="WxH",
        help="size of the pattern (default: 480x360)",
    )
    command.add_argument(
        "--json", type=Path, metavar="OUT", help="write the result as JSON; - for standard output"
    )


def _add_replay(commands: Any) -> None:
    command = add_command(
        commands,
        "replay",
        "segment a recorded stream again and compare its masks",
        "Runs the model here. Prints what was recorded, and that all masks are equal, or the first "
        "one that differs; then the exit status is 1.",
        "mastream replay 5f0c3a9e8b7d4c6fa1b2c3d4e5f60718.mastream",
        "mastream replay camera.mastream --model model.onnx",
    )
    command.add_argument("file", type=Path, metavar="FILE", help="a recording of a server")
    for name in REPLAY_OPTIONS:
        kind, metavar, meaning = LOCAL_OPTIONS[name]
        command.add_argument(name, type=kind, metavar=metavar, help=meaning)


def _add_top(commands: Any) -> None:
    command = add_command(
        commands,
        "top",
        "show what a server does, live",
        "Shows streams, rates, latencies, drops, memory, videos, engines and what is left of the "
        "capacity. The key in MASTREAM_KEY is used if there is one; any role will do.",
        "mastream top --url http://gpu-box:8000",
        "mastream top --once",
    )
    add_url(command)
    command.add_argument(
        "--once", action="store_true", help="print it once, over the time since the server's start"
    )
    command.add_argument(
        "--interval",
        type=positive_number,
        default=1.0,
        metavar="S",
        help="seconds between two looks (default: 1)",
    )


def _add_stream_options(command: ArgumentParser) -> None:
    add_url(command)
    command.add_argument(
        "--model", metavar="NAME", help="one of the server's models (default: its first)"
    )
    add_word(command, "--policy", DropPolicy, "drop late frames, or segment every frame")
    add_word(command, "--output", MaskEncoding, "encoding of the masks")
    add_word(command, "--size", MaskSize, "size of the masks: the picture's or the model's")
    command.add_argument(
        "--budget-ms", type=positive_number, metavar="MS", help="drop frames older than this"
    )
