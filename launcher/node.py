"""Ray on this machine, in the foreground, as the head or joined to one."""

from __future__ import annotations

import json
import os
import shutil
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from launcher.errors import NoRay
from launcher.ray_settings import ENGINE, OBJECT_STORE_BYTES


def run_node(flags: Namespace) -> int:
    """Replace this process with ``ray start --block``, which ends on SIGTERM and takes this
    machine's Ray with it. Raises NoRay if Ray is not installed."""
    program = ray_program()
    os.execv(program, [program, *node_arguments(flags)])


def node_arguments(flags: Namespace) -> Sequence[str]:
    """Return the arguments of ``ray``."""
    place = ["--address", flags.join] if flags.join else ["--head", f"--port={flags.port}"]
    address = [f"--node-ip-address={flags.ip}"] if flags.ip else []
    dashboard = [] if flags.join else ["--include-dashboard=false"]
    engines = [f"--resources={json.dumps({ENGINE: flags.engines})}"] if flags.engines else []
    return [
        "start",
        "--block",
        *place,
        *address,
        *dashboard,
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        *engines,
        *flags.rest,
    ]


def ray_program() -> str:
    """Return the path of the command ``ray``, first that of this Python. Raises NoRay."""
    beside = Path(sys.executable).with_name("ray")
    found = str(beside) if beside.is_file() else shutil.which("ray")
    if found is None:
        raise NoRay("Ray is not installed: install it with pip install 'mastream[ray]'.")
    return found
