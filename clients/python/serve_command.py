"""``mastream serve``: this process becomes the server."""

from __future__ import annotations

import os
import sys
from argparse import Namespace


def run(_args: Namespace, rest: list[str]) -> int:
    """Hand over to the server's own command line; does not come back."""
    os.execv(sys.executable, [sys.executable, "-m", "server", "serve", *rest])
