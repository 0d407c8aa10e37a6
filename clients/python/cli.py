"""The command ``mastream``: its subcommands and exit codes.

Exit codes: 0 success; 1 failure of a server, a file or a frame; 2 wrong usage of the command line;
130, 143 or 129 if SIGINT (Ctrl-C), SIGTERM or SIGHUP stopped it. Every error is one sentence on
stderr.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from importlib import import_module

from clients.python.arguments import parse
from clients.python.errors import ClientError
from clients.python.parsing import DEFAULT_URL
from clients.python.stopping import stoppable

__all__ = ["COMMANDS", "DEFAULT_URL", "main"]

FAILED = 1

COMMANDS = {
    "serve": "clients.python.serve_command",
    "keys": "clients.python.serve_command",
    "cluster": "clients.python.cluster_command",
    "segment": "clients.python.segment_command",
    "stream": "clients.python.stream_command",
    "load": "clients.python.load_command",
    "replay": "clients.python.replay_command",
    "cameras": "clients.python.cameras_command",
    "top": "clients.python.top_command",
}
"""Each module has ``run(args, rest) -> exit code`` and is imported only if its command is used."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    args, rest = parse(list(sys.argv[1:] if argv is None else argv))
    with stoppable() as stop:
        try:
            run: Callable[[Namespace, list[str]], int] = import_module(COMMANDS[args.command]).run
            code = run(args, rest)
            print(end="", flush=True)  # reports a failing write here, not at interpreter exit
            return code
        except KeyboardInterrupt:
            print("mastream: Interrupted.", file=sys.stderr)
            return stop.exit_code
        except ClientError as error:
            print(f"mastream: {error}", file=sys.stderr)
        except OSError as error:
            _drop_output()
            place = f": {error.filename}" if error.filename else ""
            print(f"mastream: {error.strerror or error}{place}.", file=sys.stderr)
    return FAILED


def _drop_output() -> None:
    """If standard output cannot be written, discard the rest: Python would complain at exit."""
    try:
        print(end="", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    raise SystemExit(main())
