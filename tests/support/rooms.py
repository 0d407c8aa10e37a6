"""The server's packages as a picture: rows are layers, each with what it imports below itself.

python tests/support/rooms.py
"""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import grimp

ROOT = Path(__file__).resolve().parents[2]


def layers() -> list[str]:
    """Return the rows of the contract, the top one first, as ``pyproject.toml`` has them."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    (found,) = (one for one in contracts if one.get("containers") == ["server"])
    return list(found["layers"])


def arrows() -> Counter[tuple[str, str]]:
    """Return how many imports lead from each package of the server to each other one."""
    graph = grimp.build_graph("server")
    found: Counter[tuple[str, str]] = Counter()
    for module in graph.modules:
        for target in graph.find_modules_directly_imported_by(module):
            ends = _package(module), _package(target)
            if ends[0] != ends[1] and "" not in ends:
                found[ends] += 1
    return found


def picture() -> str:
    """Return the picture as text: one block per row of the contract."""
    found, lines = arrows(), []
    for row in layers():
        lines.append(f"== {row} ==")
        for room in row.replace("|", " ").replace(":", " ").split():
            below = sorted(f"{to} {count}" for (of, to), count in found.items() if of == room)
            lines.append(f"   {room:12} -> {', '.join(below) or '(nothing)'}")
    return "\n".join([*lines, "", f"{len(layers())} layers, {len(found)} arrows between packages"])


def _package(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


if __name__ == "__main__":
    print(picture())
