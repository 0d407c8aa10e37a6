"""A server that is lost or requires a key: the page says so, and continues by itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from clips import make_clip
from playwright.sync_api import Locator, Page, expect
from server_process import ROOT, RunningServer, server_process
from watched_pages import WatchedPages

pytestmark = pytest.mark.browser

LOST = "The server cannot be reached. The page tries again by itself."


def test_a_server_that_is_gone_is_reported_until_it_is_back(
    tmp_path: Path,
    run_server: Callable[..., AbstractContextManager[RunningServer]],
    open_page: Callable[..., Page],
    axe: Callable[[Page], None],
    pages: WatchedPages,
) -> None:
    make_clip(tmp_path / "film.mp4", frames=250)
    with run_server(live__files=str(tmp_path)) as server:
        page = open_page(f"{server.http}/#/cameras")
        page.get_by_role("button", name="Play a demonstration").click()
        picture = page.locator(".camera img")
        expect(picture).to_be_visible()
        before = picture.get_attribute("src")
    expect(page.get_by_text(LOST)).to_be_visible()
    axe(page)
    port = server.address.rpartition(":")[2]
    with run_server("--port", port, live__files=str(tmp_path)):
        expect(page.get_by_text("The server can be reached again.")).to_be_visible()
        expect(page.get_by_text(LOST)).to_be_hidden()
        expect(page.get_by_role("alert")).to_be_hidden()
        expect(picture).to_be_visible()
        expect(picture).not_to_have_attribute("src", str(before))
        pages.close()
    pages.forgive("Failed to load resource")


def make_key(data: Path, role: str) -> str:
    """Make a key in a server's folder and return its text."""
    made = subprocess.run(
        [sys.executable, "-m", "server", "keys", "add", role, "--role", role],
        cwd=ROOT,
        env=os.environ | {"MASTREAM_FOLDER": str(data)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = re.search(r"mas_\S+", made.stdout)
    assert found, made.stdout
    return found[0]


def enter(page: Page, key: str) -> Locator:
    dialog = page.get_by_role("dialog", name="This server needs a key")
    dialog.get_by_label("Key").fill(key)
    page.keyboard.press("Enter")
    return dialog


def test_a_key_is_asked_for_once_and_decides_what_is_offered(
    tmp_path: Path, open_page: Callable[..., Page], axe: Callable[[Page], None], pages: WatchedPages
) -> None:
    watch, admin = make_key(tmp_path, "watch"), make_key(tmp_path, "admin")
    with server_process(tmp_path, security__keys="required") as server:
        page = open_page(f"{server.http}/#/cameras")
        expect(enter(page, "mas_wrong").get_by_role("alert")).to_be_visible()
        axe(page)
        expect(enter(page, watch)).to_be_hidden()
        expect(page.get_by_text("Ask the server's operator")).to_be_visible()
        page.reload()
        expect(page.get_by_text("Ask the server's operator")).to_be_visible()
        page = open_page(f"{server.http}/#/cameras")
        expect(enter(page, admin)).to_be_hidden()
        expect(page.get_by_role("button", name="Add a camera")).to_be_visible()
        page.get_by_role("link", name="Server").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("dialog", name="This server needs a key")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("alert").first).to_contain_text("Reload the page to enter one.")
        pages.close()
    pages.forgive("401")
