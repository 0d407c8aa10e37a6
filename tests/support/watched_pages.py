"""Pages of a browser, each in its own context, and the errors that they reported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request


@dataclass
class WatchedPages:
    """Mutable state: the open contexts and the complaints of all pages.

    A complaint is an error or warning in the console, an uncaught error, or a request to another
    host. A test that expects some removes them from ``complaints``.
    """

    complaints: list[str] = field(default_factory=list)
    _contexts: list[BrowserContext] = field(default_factory=list)

    def open(
        self,
        browser: Browser,
        address: str,
        *,
        dark: bool = False,
        size: tuple[int, int] = (1280, 800),
        **options: Any,
    ) -> Page:
        """Open an address and return once it is loaded; nothing on it is animated."""
        context = browser.new_context(
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            viewport={"width": size[0], "height": size[1]},
            **options,
        )
        self._contexts.append(context)
        self._watch(context, urlsplit(address).netloc)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.goto(address)
        return page

    def close(self) -> None:
        """Close every page; a test does so before it ends their server."""
        while self._contexts:
            self._contexts.pop().close()

    def forgive(self, expected: str) -> None:
        """Forget the complaints that contain a text, which the test expected."""
        self.complaints[:] = [one for one in self.complaints if expected not in one]

    def _watch(self, context: BrowserContext, host: str) -> None:
        def console(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                self.complaints.append(f"console {message.type}: {message.text}")

        def requested(request: Request) -> None:
            parts = urlsplit(request.url)
            if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != host:
                self.complaints.append(f"request to {request.url}")

        context.on("console", console)
        context.on("request", requested)
        context.on("weberror", lambda failed: self.complaints.append(f"error: {failed.error}"))
