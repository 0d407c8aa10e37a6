"""``mastream replay``: segment a recording again and compare its masks, by the server's command."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from typing import NoReturn

from clients.python.segment_command import plain


def run(args: Namespace, rest: list[str]) -> NoReturn:
    """Replace this process with ``python -m server replay``, so that it gets the signals.

    ``rest`` are the options for the model.
    """
    command = ["-m", "server", "replay", plain(args.file), *rest]
    os.execv(sys.executable, [sys.executable, *command])
