"""A server that is gone or wants a key: the page says so, and continues by itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from playwright.sync_api import Page, Route, expect
from server_process import RunningServer
from watched_pages import WatchedPages

pytestmark = pytest.mark.browser

LOST = "The server cannot be reached. The page tries again by itself."
NO_KEY = {"code": "unauthorised", "detail": "This server needs a key."}


def test_a_server_that_is_gone_is_reported_until_it_is_back(
    run_server: Callable[..., AbstractContextManager[RunningServer]],
    open_page: Callable[..., Page],
    pages: WatchedPages,
) -> None:
    with run_server() as server:
        page = open_page(f"{server.http}/#/cameras")
        expect(page.get_by_role("heading", name="No cameras yet")).to_be_visible()
    expect(page.get_by_text(LOST)).to_be_visible()
    port = server.address.rpartition(":")[2]
    with run_server("--port", port):
        expect(page.get_by_text("The server can be reached again.")).to_be_visible()
        expect(page.get_by_text(LOST)).to_be_hidden()
        expect(page.get_by_role("alert")).to_be_hidden()
        assert [one for one in pages.complaints if "Failed to load resource" not in one] == []
        pages.complaints.clear()


def test_a_key_is_asked_for_once(
    server: RunningServer, open_page: Callable[..., Page], pages: WatchedPages
) -> None:
    page = open_page(f"{server.http}/#/live")
    accepted: list[str] = []

    def guard(route: Route) -> None:
        if accepted:
            route.continue_()
        else:
            route.fulfill(status=401, json=NO_KEY)

    def sign_in(route: Route) -> None:
        key = (route.request.post_data_json or {})["key"]
        if key == "right":
            accepted.append(key)
            route.fulfill(status=204)
        else:
            route.fulfill(status=401, json={"code": "unauthorised", "detail": "Wrong key."})

    page.route("**/v1/**", guard)
    page.route("**/v1/session", sign_in)
    page.get_by_role("link", name="Cameras").click()
    dialog = page.get_by_role("dialog", name="This server needs a key")
    dialog.get_by_label("Key").fill("wrong")
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog.get_by_role("alert")).to_have_text("Wrong key.")
    dialog.get_by_label("Key").fill("right")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("heading", name="No cameras yet")).to_be_visible()
    assert accepted == ["right"]
    assert [one for one in pages.complaints if "401" not in one] == []
    pages.complaints.clear()
