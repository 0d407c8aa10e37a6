"""``python -m server``: serve, or segment a video or replay a recording in this process."""

from __future__ import annotations

import logging
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from server.errors import BadRequest, MastreamError
from server.logs import begin_log

if TYPE_CHECKING:
    from server.settings import Settings

USAGE_ERROR, INTERRUPTED = 2, 130
SIGNALLED = 128


class OneLineParser(ArgumentParser):
    """Reports wrong usage in one sentence that points to --help, instead of printing the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"{self.prog}: error: {message}; see {self.prog} --help.\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. Errors are one sentence on stderr."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    flags, unknown = _parser().parse_known_args(_with_command(given))
    if unknown:
        flags.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        settings = settings_of(flags)
        begin_log(settings.log_level, settings.log_format)
        return COMMANDS[flags.command](flags, settings)
    except KeyboardInterrupt:  # while libraries are loaded; later, each command handles it
        print("mastream: Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except MastreamError as error:
        print(f"mastream: {error}", file=sys.stderr)
        return USAGE_ERROR if isinstance(error, BadRequest) else 1


def settings_of(flags: Namespace) -> Settings:
    """Return the environment's settings, overridden by the flags given.

    Raises BadRequest, which names the invalid settings.
    """
    from pydantic import ValidationError  # noqa: PLC0415  an interrupt meanwhile is one sentence
    from pydantic_settings import SettingsError  # noqa: PLC0415

    from server.settings import Settings  # noqa: PLC0415

    engine = {"name": flags.engine, "model": flags.model} | _given(flags, "max_batch", "threads")
    given = _given(flags, "host", "port", "folder", "log_level")
    if chosen := {key: value for key, value in engine.items() if value is not None}:
        given["engine"] = chosen
    try:
        return Settings(**given)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise BadRequest(f"The settings are not valid: {'; '.join(wrong)}.") from error
    except SettingsError as error:
        words = f"The settings are not valid: {error}; write a group as JSON."
        raise BadRequest(words) from error


def _serve(flags: Namespace, settings: Settings) -> int:
    from server.commands.serve import serve  # noqa: PLC0415  --help must not wait for libraries

    return serve(settings, drain_on_eof=flags.drain_on_eof)


def _segment(flags: Namespace, settings: Settings) -> int:
    from server.commands.segment import segment  # noqa: PLC0415  as above
    from server.sinks.recorder import chosen_artefacts  # noqa: PLC0415
    from server.sinks.style import chosen_style  # noqa: PLC0415

    if not logging.root.isEnabledFor(logging.DEBUG):
        # segment() prints the same error in its one sentence.
        logging.getLogger("server.videos.segmenting").setLevel(logging.CRITICAL)
    style = chosen_style(flags.classes, flags.opacity)
    return segment(flags.video, flags.out, settings, chosen_artefacts(flags.artefacts), style)


def _replay(flags: Namespace, settings: Settings) -> int:
    from server.commands.replay import replay_file  # noqa: PLC0415  as above

    return replay_file(flags.file, settings)


def _keys(flags: Namespace, settings: Settings) -> int:
    from server.commands.keys import run_keys  # noqa: PLC0415  as above

    return run_keys(flags, settings)


COMMANDS = {"serve": _serve, "segment": _segment, "replay": _replay, "keys": _keys}


def _parser() -> ArgumentParser:
    parser = OneLineParser(
        "python -m server",
        description="Segment video in real time. The default command is serve.",
        epilog="Every setting can also be given as MASTREAM_<NAME>; flags take precedence. "
        "Exit status: 0 success, 1 failure, 2 wrong usage; 130, 143 or 129 if SIGINT, SIGTERM or "
        "SIGHUP stopped segment or replay. serve drains on SIGINT and SIGTERM and exits with 0.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve streams and uploaded videos")
    serve.add_argument("--host", help="address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=int, help="port to listen on; 0 chooses a free one (8000)")
    serve.add_argument(
        "--data", type=Path, dest="folder", help="folder of uploads and results (data)"
    )
    serve.add_argument(
        "--drain-on-eof",
        action="store_true",
        help="drain when standard input ends, as on SIGTERM: the server then ends with its parent",
    )
    segment = commands.add_parser("segment", help="segment one video and exit")
    segment.add_argument("video", type=Path, metavar="VIDEO")
    segment.add_argument("-o", "--out", type=Path, required=True, metavar="DIR")
    segment.add_argument(
        "--artefacts", metavar="NAMES", help="artefacts to write, comma-separated (the usual four)"
    )
    segment.add_argument(
        "--classes", metavar="NAMES", help="classes to draw and list, comma-separated (all)"
    )
    segment.add_argument("--opacity", metavar="SHARE", help="of the overlay, 0 to 1 (0.5)")
    replay = commands.add_parser("replay", help="segment a recording again and compare its masks")
    replay.add_argument("file", type=Path, metavar="FILE")
    for command in (serve, segment, replay):
        command.set_defaults(parser=command)
        _add_engine_flags(command)
    _add_keys(commands)
    return parser


def _add_keys(commands: Any) -> None:
    keys = commands.add_parser("keys", help="create, list, rotate and revoke API keys")
    keys.set_defaults(parser=keys, engine=None, model=None)
    actions = keys.add_subparsers(dest="action", required=True)
    add = actions.add_parser("add", help="create a key and print its text, once")
    add.add_argument("name", metavar="NAME", help="who or what will use it")
    add.add_argument("--role", choices=["watch", "segment", "admin"], default="segment")
    add.add_argument("--streams", metavar="NAMES", help="what a key of role watch may see")
    listing = actions.add_parser("list", help="list all keys")
    rotate = actions.add_parser("rotate", help="give a key a new text")
    rotate.add_argument("id", metavar="ID")
    rotate.add_argument(
        "--overlap", type=float, default=0.0, metavar="S", help="seconds the old text stays valid"
    )
    revoke = actions.add_parser("revoke", help="make a key invalid for good")
    revoke.add_argument("id", metavar="ID")
    for action in (add, listing, rotate, revoke):
        action.add_argument("--data", type=Path, dest="folder", help="the server's folder (data)")


def _add_engine_flags(command: ArgumentParser) -> None:
    command.add_argument("--model", type=Path, metavar="FILE", help="artefact (the shipped model)")
    command.add_argument("--engine", metavar="NAME", help="engine that runs the model (onnx_rt)")
    command.add_argument("--max-batch", type=int, metavar="N", help="most streams in one step (4)")
    command.add_argument("--threads", type=int, metavar="N", help="compute threads (all cores)")
    command.add_argument("--log-level", metavar="LEVEL", help="debug, info, warning, ... (info)")


def _with_command(given: list[str]) -> list[str]:
    """Return the arguments, with ``serve`` in front if no command is named."""
    asks_help = given[:1] in (["-h"], ["--help"])
    return given if asks_help or given[:1] in ([name] for name in COMMANDS) else ["serve", *given]


def _given(flags: Namespace, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(flags, name, None)) is not None}


def _exit(code: int) -> NoReturn:
    """End the process.

    If a signal stopped the command, end it at once: a thread may still be in an engine's native
    code, which would abort while the interpreter shuts down.
    """
    if code < SIGNALLED:
        raise SystemExit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _exit(main())
