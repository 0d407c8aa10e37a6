"""Where frames come from: a plain table from name to module, imported only when chosen.

A new source is one file and one line here; the contract tests run over every row.
"""

from __future__ import annotations

from importlib import import_module

from server.sources.base import Source

SOURCES = {
    "container": "server.sources.container:ContainerSource",
    "synthetic": "server.sources.synthetic:SyntheticSource",
}


def source_class(name: str) -> type[Source]:
    """The class behind a name of the table. KeyError for another name: our own mistake."""
    module, _, attribute = SOURCES[name].partition(":")
    found = getattr(import_module(module), attribute)
    assert isinstance(found, type) and issubclass(found, Source)
    return found
