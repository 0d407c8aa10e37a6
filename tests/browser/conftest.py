"""Chromium on a real server: pages that must not report errors or send requests to other hosts.

    def test_x(server, open_page):
        page = open_page(f"{server.http}/#/server", dark=True, size=(390, 844))

Tests are skipped, with the reason, if Chromium is not installed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright
from server_process import RunningServer, server_process
from watched_pages import WatchedPages

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-sandbox",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
"""A camera that may be used without permission, and WebGL without a GPU."""

expect.set_options(timeout=20_000)


@pytest.fixture
def run_server(tmp_path: Path) -> Callable[..., AbstractContextManager[RunningServer]]:
    """Start a server with its own settings: ``with run_server(port="0") as server``."""
    return lambda *flags, **settings: server_process(tmp_path / "data", *flags, **settings)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server, with the fake engine, for all tests of a file that leave it unharmed."""
    with server_process(tmp_path_factory.mktemp("server")) as running:
        yield running


# Not for the session: Playwright runs an event loop in this thread until it ends, and other tests
# in the same process begin their own.
@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def launch(playwright: Playwright) -> Callable[..., Browser]:
    """Launch a Chromium with further flags; the caller must close the browser."""
    return lambda *flags: playwright.chromium.launch(
        executable_path=CHROMIUM, args=[*FLAGS, *flags]
    )


@pytest.fixture(scope="module")
def browser(launch: Callable[..., Browser]) -> Iterator[Browser]:
    with launch() as running:
        yield running


@pytest.fixture
def pages() -> Iterator[WatchedPages]:
    """Pages that must not report errors; ``pages.complaints`` has the errors that they reported."""
    watched = WatchedPages()
    yield watched
    watched.close()
    assert watched.complaints == []


@pytest.fixture
def open_page(pages: WatchedPages, browser: Browser) -> Callable[..., Page]:
    """Open an address; the keyword arguments are those of WatchedPages.open."""
    return partial(pages.open, browser)


@pytest.fixture
def axe() -> Callable[..., None]:
    """Assert that axe-core finds nothing on a page."""

    def check(page: Page) -> None:
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()

    return check
