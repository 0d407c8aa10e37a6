"""The view of the server: the model, its engine, and how much is used."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Page, expect
from server_process import RunningServer

pytestmark = pytest.mark.browser


def test_it_shows_what_the_server_says_of_itself(
    server: RunningServer, open_page: Callable[..., Page], axe: Callable[[Page], None]
) -> None:
    about = httpx.get(f"{server.http}/v1/server").json()
    (model,) = httpx.get(f"{server.http}/v1/models").json()["models"]
    page = open_page(f"{server.http}/#/server")
    expect(page.get_by_text("Ready", exact=True)).to_be_visible()
    expect(page.get_by_text(f"Version {about['version']}")).to_be_visible()
    expect(page.get_by_text(f"0 of {about['sessions']['most']}").first).to_be_visible()
    listed = page.get_by_role("listitem")
    for one in model["spec"]["classes"]:
        expect(listed.get_by_text(one["name"], exact=True)).to_be_visible()
    swatch = page.locator(".swatch").first
    colour = swatch.evaluate("node => getComputedStyle(node).backgroundColor")
    assert colour == "rgb({}, {}, {})".format(*model["spec"]["classes"][0]["colour"])
    expect(page.get_by_text(model["plan"]["detail"])).to_be_visible()
    for name in ("API documentation", "OpenAPI schema", "Metrics for Prometheus"):
        address = page.get_by_role("link", name=name).evaluate("node => node.href")
        assert httpx.get(address).status_code == 200
    axe(page)
