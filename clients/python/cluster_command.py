"""``mastream cluster``: commands of the launcher, run in this process."""

from __future__ import annotations

import os
import sys
from argparse import Namespace


def run(args: Namespace, rest: list[str]) -> int:  # noqa: ARG001
    """Replace this process with the launcher's command line."""
    os.execv(sys.executable, [sys.executable, "-m", "launcher", *rest])
