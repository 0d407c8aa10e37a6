"""/docs: the reference of the REST API, rendered from its OpenAPI description.

The page has no script and loads nothing from other hosts, so it also works without internet access.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from html import escape
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 0 auto; padding: 1rem }
code, pre { font: 0.875rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere }
details { border-top: 1px solid #8886; padding: 0.5rem 0 }
summary { cursor: pointer; min-height: 1.5rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 0.75rem 0.25rem 0 }
b { display: inline-block; min-width: 4.5rem }
"""

_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The Content-Security-Policy: only the page's own style is used."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Described = Mapping[str, Any]


def reference_router(described: Callable[[], Described]) -> APIRouter:
    """Return the route; ``described`` returns the OpenAPI description."""
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    async def docs() -> HTMLResponse:
        return HTMLResponse(render(described()), headers=HEADERS)

    return router


def render(described: Described) -> str:
    """Return the page of an OpenAPI description."""
    info = described["info"]
    title = f"{info['title']} {info['version']}"
    body = "\n".join(
        (
            f"<h1>{escape(title)}</h1>",
            *_paragraphs(info.get("summary", "")),
            *_paragraphs(info.get("description", "")),
            '<p>For programs: <a href="openapi.json">openapi.json</a>.</p>',
            "<h2>Requests</h2>",
            *_operations(described["paths"]),
            "<h2>Objects</h2>",
            *_schemas(described.get("components", {}).get("schemas", {})),
        )
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(title)}</title>'
        '\n<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"\n<style>{STYLE}</style>\n<main>\n{body}\n</main>\n</html>\n"
    )


def _operations(paths: Described) -> Iterator[str]:
    for path, methods in paths.items():
        for method, operation in methods.items():
            yield from _operation(f"{method.upper()}", path, operation)


def _operation(method: str, path: str, operation: Described) -> Iterator[str]:
    yield f"<details><summary><b>{method}</b> <code>{escape(path)}</code></summary>"
    yield from _paragraphs(operation.get("description") or operation.get("summary", ""))
    yield from _table("Parameters", map(_parameter, operation.get("parameters", ())))
    contents = operation.get("requestBody", {}).get("content", {})
    yield from _table("Body", ((kind, _type(one["schema"])) for kind, one in contents.items()))
    yield from _table("Responses", map(_response, operation.get("responses", {}).items()))
    yield "</details>"


def _parameter(one: Described) -> tuple[str, str]:
    needed = ", required" if one.get("required") else ""
    words = f" {escape(one['description'])}" if one.get("description") else ""
    return f"{one['name']} ({one['in']}{needed})", _type(one["schema"]) + words


def _response(item: tuple[str, Described]) -> tuple[str, str]:
    status, response = item
    kinds = ", ".join(
        f"<code>{escape(kind)}</code> {_type(one.get('schema', {}))}"
        for kind, one in response.get("content", {}).items()
    )
    return status, f"{escape(response.get('description', ''))} {kinds}"


def _schemas(schemas: Described) -> Iterator[str]:
    for name, schema in sorted(schemas.items()):
        anchor = escape(name, quote=True)
        yield f'<details id="{anchor}"><summary><code>{escape(name)}</code></summary>'
        yield from _paragraphs(schema.get("description", ""))
        yield from _table("Fields", map(_field, schema.get("properties", {}).items()))
        if "enum" in schema:
            yield f"<p>One of: {escape(', '.join(map(str, schema['enum'])))}</p>"
        yield "</details>"


def _field(item: tuple[str, Described]) -> tuple[str, str]:
    name, schema = item
    return name, f"{_type(schema)} {escape(schema.get('description', ''))}"


def _table(caption: str, rows: Iterator[tuple[str, str]]) -> Iterator[str]:
    """Yield a table of names and values; a name is escaped, a value is HTML already."""
    lines = [f"<tr><th><code>{escape(name)}</code><td>{value}" for name, value in rows]
    if lines:
        yield f"<table><caption>{caption}</caption>{''.join(lines)}</table>"


def _type(schema: Described) -> str:
    """Return the HTML of a schema's type: a link if it is a named object."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2], quote=True)
        return f'<a href="#{name}">{name}</a>'
    if parts := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return " or ".join(_type(part) for part in parts)
    if schema.get("type") == "array":
        return f"array of {_type(schema.get('items', {}))}"
    return escape(str(schema.get("type", "any")))


def _paragraphs(text: str) -> Iterator[str]:
    for part in text.strip().split("\n\n"):
        if part:
            yield f"<p>{escape(part)}</p>"
