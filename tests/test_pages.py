"""The pages for users: their links lead somewhere, and they list every setting."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from server.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/*.md", "*/README.md", "models/zoo/*.md")
    for page in ROOT.glob(pattern)
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_of_the_project(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", page.read_text()):
        if "://" not in link:
            target = (page.parent / link).resolve()
            assert target.exists() and target.is_relative_to(ROOT), link


def test_readme_is_short_and_links_every_page_for_users() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 140
    assert all(f"](docs/{page.name})" in readme for page in (ROOT / "docs").glob("*.md"))


def shown(name: str, value: Any) -> str:
    """Return a default as the page writes it; empty if there is none."""
    if isinstance(value, dict):
        return json.dumps(value)
    if value is None:
        return ""
    if isinstance(value, tuple):
        return json.dumps(value, separators=(",", ":"))
    if name.endswith("bytes"):
        unit, size = ("GiB", 2**30) if value % 2**30 == 0 else ("MiB", 2**20)
        return f"{value // size} {unit}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def defaults() -> dict[str, str]:
    return dict(defaults_of(Settings, "MASTREAM_"))


def defaults_of(group: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in group.model_fields.items():
        if isinstance(field.default, BaseModel):
            yield from defaults_of(type(field.default), f"{prefix}{name}__")
        else:
            yield f"{prefix}{name}".upper(), shown(name, field.default)


def test_the_page_lists_every_setting_with_its_default() -> None:
    page = (ROOT / "docs/settings.md").read_text()
    rows = re.findall(r"^\| `(MASTREAM_\w+)` \| (?:`([^`]*)`)? \|", page, re.M)
    assert dict(rows) == defaults()


def test_every_bound_has_a_test() -> None:
    page = (ROOT / "docs" / "security.md").read_text().split("## Bounds", 1)[1]
    rows = [row for row in page.splitlines() if row.startswith("| ")][1:]
    assert len(rows) > 30
    for row in rows:
        found = re.search(r"`(\S+\.py)::(test_\w+)` \|$", row)
        assert found, f"the bound names no test: {row}"
        path, name = found.groups()
        assert f"def {name}(" in (ROOT / "tests" / path).read_text(), name
