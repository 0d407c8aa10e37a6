"""A prober's process whose children die before they have read their order; run as a module."""

from __future__ import annotations

import os
from typing import Any

from server.sources.sandbox import probe_child


def _die(*_: Any) -> None:
    os._exit(0)


if __name__ == "__main__":
    probe_child._child = _die
    probe_child.run()
