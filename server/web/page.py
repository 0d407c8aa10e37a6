"""The page: the files of ``clients/browser``, read once and served from memory without comments.

Every file is served under a path that contains a hash of all of them, so that browsers may cache it
for good, and under a stable path for pages of other sites that import the modules.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Response

from server.errors import NotFound

FOLDER = Path(__file__).parents[2] / "clients" / "browser"

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""The files that are served, by suffix; all others of the folder are not."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""The Content-Security-Policy: the page loads nothing from any other host."""

Accepted = Annotated[str, Header(alias="Accept-Encoding")]
Known = Annotated[str, Header(alias="If-None-Match")]

COMMENT = re.compile(r"^[ \t]*/\*.*?\*/[ \t]*\n|^[ \t]*//[^\n]*\n", re.DOTALL | re.MULTILINE)
"""Comments on lines of their own, in scripts and style sheets."""

GZIP = re.compile(r"(^|,)\s*gzip\s*($|,|;\s*q=(?!0(\.0*)?\s*($|,)))", re.IGNORECASE)
"""Found in an Accept-Encoding that allows gzip."""

FOR_EVER = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"


@dataclass(frozen=True)
class PageFile:
    """One file of the page."""

    data: bytes
    media_type: str

    @cached_property
    def packed(self) -> bytes:
        return gzip.compress(self.data, mtime=0)

    @cached_property
    def etag(self) -> str:
        """Return a weak tag, since it is the same for both encodings."""
        return f'W/"{_digest(self.data)}"'


@dataclass(frozen=True)
class Page:
    """All files by name, and the hash of them all."""

    files: Mapping[str, PageFile]

    @cached_property
    def version(self) -> str:
        return _digest(b"".join(one.data for _, one in sorted(self.files.items())))

    @cached_property
    def index(self) -> PageFile:
        """Return index.html, whose links contain the version."""
        html = self.files["index.html"]
        links = html.data.replace(b'"browser/', f'"browser/{self.version}/'.encode())
        return PageFile(links, html.media_type)

    def file(self, name: str) -> PageFile:
        """Return a file. Raises NotFound."""
        if name not in self.files:
            raise NotFound(f"The page has no file {name[:80]!r}.")
        return self.files[name]


def read_page(folder: Path = FOLDER) -> Page:
    """Read the page's files; minify scripts and style sheets."""
    found = (one for one in sorted(folder.iterdir()) if one.suffix in TYPES)
    return Page({one.name: PageFile(_content(one), TYPES[one.suffix]) for one in found})


def minified(text: str) -> str:
    """Return a script or style sheet without comments on lines of their own and without
    indentation. A line of a string that looks like a comment is removed too."""
    return re.sub(r"^[ \t]+", "", COMMENT.sub("", text), flags=re.MULTILINE)


def _content(file: Path) -> bytes:
    text = file.read_text("utf-8")
    return (minified(text) if file.suffix in (".js", ".css") else text).encode()


def page_router(page: Page) -> APIRouter:
    """Return the routes of the page."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def index(accepted: Accepted = "", known: Known = "") -> Response:
        return _respond(page.index, accepted, known, REVALIDATE)

    @router.get(f"/browser/{page.version}/{{name}}")
    async def kept(name: str, accepted: Accepted = "", known: Known = "") -> Response:
        return _respond(page.file(name), accepted, known, FOR_EVER)

    @router.get("/browser/{name}")
    async def current(name: str, accepted: Accepted = "", known: Known = "") -> Response:
        response = _respond(page.file(name), accepted, known, REVALIDATE)
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response

    return router


def _respond(file: PageFile, accepted: str, known: str, caching: str) -> Response:
    headers = {
        "Cache-Control": caching,
        "Content-Security-Policy": POLICY,
        "ETag": file.etag,
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if known == "*" or file.etag.removeprefix("W/") in known:
        return Response(status_code=304, headers=headers)
    if not GZIP.search(accepted):
        return Response(file.data, media_type=file.media_type, headers=headers)
    headers["Content-Encoding"] = "gzip"
    return Response(file.packed, media_type=file.media_type, headers=headers)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
