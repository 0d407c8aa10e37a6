"""``mastream serve``: start the server in this process."""

from __future__ import annotations

import os
import sys
from argparse import Namespace


def run(_args: Namespace, rest: list[str]) -> int:
    """Replace this process with the server's command line."""
    os.execv(sys.executable, [sys.executable, "-m", "server", "serve", *rest])
