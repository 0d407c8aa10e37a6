"""The page's frame: it opens without errors, sends no requests to other hosts, and is
accessible."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from server_process import RunningServer

pytestmark = pytest.mark.browser

VIEWS = ("live", "videos", "cameras", "server")


def test_axe_finds_nothing_in_any_view_light_or_dark(
    server: RunningServer, open_page: Callable[..., Page], axe: Callable[[Page], None]
) -> None:
    page = open_page(f"{server.http}/")
    for view in VIEWS:
        page.locator(f"#nav [data-view={view}]").click()
        expect(page.locator("#nav [aria-current=page]")).to_have_attribute("href", f"#/{view}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            axe(page)


@pytest.mark.parametrize("size", [(360, 640), (3840, 2160)], ids=["phone", "4k"])
def test_no_view_is_wider_than_its_window(
    server: RunningServer, open_page: Callable[..., Page], size: tuple[int, int]
) -> None:
    page = open_page(f"{server.http}/", size=size)
    for view in VIEWS:
        page.locator(f"#nav [data-view={view}]").click()
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_the_keyboard_skips_to_the_content(
    server: RunningServer, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{server.http}/#/server")
    expect(page.get_by_role("heading", name="Server")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    expect(page.get_by_role("heading", name="Server")).to_be_visible()


@pytest.mark.parametrize("place", ["nowhere", "%"])
def test_an_address_that_leads_nowhere_is_explained(
    server: RunningServer, open_page: Callable[..., Page], place: str
) -> None:
    page = open_page(f"{server.http}/#/{place}")
    expect(page.get_by_role("alert")).to_have_text("There is no such page. Choose one above.")
    page.get_by_role("link", name="Server").click()
    expect(page.get_by_role("heading", name="Server")).to_be_visible()


def test_the_colours_follow_the_system_until_they_are_chosen(
    server: RunningServer, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{server.http}/", dark=True)
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Colours follow the system").click()
    light = page.evaluate(ground)
    assert light != dark
    page.reload()
    expect(page.get_by_role("button", name="Light colours")).to_be_visible()
    assert page.evaluate(ground) == light
