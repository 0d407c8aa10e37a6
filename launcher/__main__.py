"""``python -m launcher``, or ``mastream cluster``: servers on several machines, by Ray."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from launcher.arguments import parse
from launcher.errors import LauncherError, WrongUse
from launcher.ray_settings import prepare

USAGE_ERROR, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. Errors are one sentence on stderr."""
    flags = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        if getattr(flags, "url", None) is None:
            prepare()
        from launcher.commands import COMMANDS  # noqa: PLC0415  after the settings that Ray reads

        return COMMANDS[flags.action](flags)
    except KeyboardInterrupt:
        print("mastream: Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except LauncherError as error:
        print(f"mastream: {error}", file=sys.stderr)
        return USAGE_ERROR if isinstance(error, WrongUse) else 1


if __name__ == "__main__":
    raise SystemExit(main())
