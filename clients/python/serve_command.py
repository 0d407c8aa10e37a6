"""``mastream serve`` and ``mastream keys``: commands of the server, run in this process."""

from __future__ import annotations

import os
import sys
from argparse import Namespace


def run(args: Namespace, rest: list[str]) -> int:
    """Replace this process with the server's command line."""
    os.execv(sys.executable, [sys.executable, "-m", "server", args.command, *rest])
