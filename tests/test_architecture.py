"""ARCHITECTURE.md agrees with the tree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from rooms import layers, picture

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "ARCHITECTURE.md").read_text()
PACKAGES = {
    "protocol", "models", "export", "training", "server", "clients", "launcher", "mastream",
    "benchmarks", "docker", "tests",
}  # fmt: skip

SUPPORTING = {
    "server/engines": {"host_memory"},
    "server/sources": {
        "abandoned", "arrivals", "camera_faults", "clocks", "colours", "decoding", "demuxing",
        "footage", "handover", "lateness", "losses", "nal_units", "opening", "orientation",
        "probing", "rates", "rendering", "streams", "surface", "timeline",
    },
    "server/sources/pictures": {"cuda_driver", "jpeg_markers", "picture"},
    "server/sources/scenes": {"scene_distance"},
    "server/sinks": {
        "archive", "areas", "artefacts", "class_shares", "coco_rle", "coding", "encoding",
        "mask_listing", "mask_video", "matroska", "poster", "remuxing", "summary", "totals",
    },
    "server/commands": {"serve", "segment", "stdin_end", "stopping"},
    "server/web": {"methods"},
    "server/web/live": {"body", "service"},
    "server/web/transports": {"refusal", "stream_parser"},
    "server/web/videos": {
        "artefact_file", "disposition", "listing_body", "multipart", "outputs", "preconditions",
        "stored_file", "summary_body", "tus", "unfinished_file", "upload", "upload_part",
        "video_body", "video_json", "video_request",
    },
}  # fmt: skip
"""Modules that the page need not name."""


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_every_package_is_on_the_page_and_every_one_on_it_is_there() -> None:
    named = set(re.findall(r"^    (\w+)/ ", section("Packages"), re.M))
    assert named == PACKAGES
    assert all((ROOT / package).is_dir() for package in named)


def test_the_layers_on_the_page_are_those_of_the_contract() -> None:
    rows = re.findall(r"^    (\S.*?)(?:  .*)?$", section("Layers of the server"), re.M)
    assert rows == layers()


def test_the_server_has_the_packages_of_its_layers() -> None:
    named = set(re.findall(r"\w+", " ".join(layers())))
    there = {path.stem for path in (ROOT / "server").iterdir() if path.suffix == ".py"}
    there |= {path.parent.name for path in (ROOT / "server").glob("*/__init__.py")}
    assert named == there - {"__init__"}


FOLDERS = sorted(
    str(path.parent.relative_to(ROOT))
    for path in (ROOT / "server").glob("*/**/__init__.py")
    if "migrations" not in path.parts
)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_module_that_a_newcomer_meets_is_named(folder: str) -> None:
    supporting = SUPPORTING.get(folder, set())
    modules = {p.stem for p in (ROOT / folder).glob("*.py")} - {"__init__"}
    missing = {m for m in modules - supporting if not re.search(rf"\b{m}\b", PAGE)}
    assert not missing, f"{folder}: ARCHITECTURE.md does not name {sorted(missing)}"
    assert supporting <= modules


def test_paths_that_the_page_names_exist() -> None:
    for path in re.findall(r"`((?:\w+/)+\w+(?:\.\w+)?/?)`", PAGE):
        assert (ROOT / path).exists(), f"{path} is on the page and not in the tree"


def test_nothing_points_outside_the_project() -> None:
    tracked = [*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("models/zoo/*.md")]
    for page in tracked:
        assert "../shared" not in page.read_text(), f"{page.name} points outside the project"


def test_the_picture_shows_every_layer() -> None:
    drawn = picture()
    assert all(f"== {row} ==" in drawn for row in layers())


def test_a_wheel_has_every_package() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in {package.split(".")[0] for package in listed}
        for path in (ROOT / top).glob("**/__init__.py")
    }
    assert there <= set(listed)
