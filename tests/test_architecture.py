"""ARCHITECTURE.md is true of the tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "ARCHITECTURE.md").read_text()
ROOMS = {
    "protocol", "models", "export", "training", "server", "clients", "benchmarks", "docker",
    "tests",
}  # fmt: skip


def test_every_room_is_on_the_page_and_every_room_on_it_is_there() -> None:
    named = set(re.findall(r"^    (\w+)/ ", PAGE, re.M))
    assert named == ROOMS
    assert all((ROOT / room).is_dir() for room in named)


@pytest.mark.parametrize("folder", ["server", "server/engines", "server/sources", "server/sinks"])
def test_every_module_that_a_newcomer_meets_is_named(folder: str) -> None:
    supporting = {
        "server/engines": {"host_memory"},
        "server/sources": {
            "clocks", "colours", "cuda_driver", "decoding", "footage", "handover", "jpeg_markers",
            "losses", "opening",
            "orientation", "picture", "picture_header", "pool", "probe_process", "probing",
            "rendering", "streams", "surface", "timeline",
        },
        "server/sinks": {
            "answers", "archive", "areas", "artefacts", "coding", "encoding", "matroska", "summary",
        },
    }.get(folder, set())  # fmt: skip
    modules = {p.stem for p in (ROOT / folder).glob("*.py")} - {"__init__"}
    missing = {m for m in modules - supporting if not re.search(rf"\b{m}\b", PAGE)}
    assert not missing, f"{folder}: ARCHITECTURE.md does not name {sorted(missing)}"
    assert supporting <= modules


def test_paths_that_the_page_names_exist() -> None:
    for path in re.findall(r"`((?:\w+/)+\w+(?:\.\w+)?/?)`", PAGE):
        assert (ROOT / path).exists(), f"{path} is on the page and not in the tree"


def test_nothing_points_outside_the_project() -> None:
    tracked = [*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("models/zoo/*.md")]
    for page in tracked:
        assert "../shared" not in page.read_text(), f"{page.name} points outside the project"
