"""A table of text, on the screen or in Markdown."""

from __future__ import annotations

from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from tabulate import tabulate

UNKNOWN = "-"
"""The text of a cell without a number."""

CONSOLE_WIDTH = 1000
"""Wider than any table, since a narrow console would cut columns to a few letters."""


@dataclass(frozen=True)
class Sheet:
    """A table: each row has as many cells as ``columns``; ``notes`` are sentences below it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            assert len(row) == len(self.columns), f"{row} does not fit {self.columns}"


def on_screen(sheet: Sheet) -> RenderableType:
    """Return the sheet as rich prints it."""
    table = Table(title=escape(sheet.title), title_justify="left", box=SIMPLE_HEAD)
    for column in sheet.columns:
        table.add_column(escape(column), overflow="fold")
    for row in sheet.rows:
        table.add_row(*map(escape, row))
    return Group(table, *map(escape, sheet.notes), "")


def in_markdown(sheet: Sheet) -> str:
    """Return a heading, a table and a list of notes in GitHub's Markdown."""
    rows = [list(map(_cell, row)) for row in sheet.rows]
    columns = list(map(_cell, sheet.columns))
    parts = [
        f"### {sheet.title}",
        tabulate(rows, columns, tablefmt="github", disable_numparse=True),
        "\n".join(f"- {note}" for note in sheet.notes),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
