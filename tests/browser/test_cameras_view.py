"""The view of cameras: try, add, watch, pause and remove them, with real cameras over HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from clips import make_clip
from cluster_process import Cluster
from http_cameras import http_camera
from playwright.sync_api import Locator, Page, expect
from server_process import RunningServer, server_process
from watched_pages import WatchedPages

pytestmark = pytest.mark.browser

SMALL = {"engine__fake_height": "48", "engine__fake_width": "64", "streams__record": "true"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that plays one video, and may record."""
    films = tmp_path_factory.mktemp("films")
    make_clip(films / "film.mp4", frames=250)
    data = tmp_path_factory.mktemp("server")
    with server_process(data, **SMALL, live__files=str(films)) as running:
        yield running


@pytest.fixture
def page(server: RunningServer, open_page: Callable[..., Page]) -> Iterator[Page]:
    """The view, without cameras; those that the test added are removed after it."""
    yield open_page(f"{server.http}/#/cameras")
    streams = f"{server.http}/v1/streams"
    for stream in httpx.get(streams).json()["streams"]:
        httpx.delete(f"{streams}/{stream['name']}").raise_for_status()


def cell(page: Page, name: str) -> Locator:
    return page.get_by_role("article").filter(has=page.get_by_role("heading", name=name))


def shows_a_picture(picture: Locator) -> None:
    expect(picture).to_be_visible()
    element = picture.element_handle()
    picture.page.wait_for_function("img => img.naturalWidth > 0", arg=element)


def add(page: Page, url: str, name: str) -> Locator:
    """Fill the dialog in, test the address, and return the dialog."""
    page.get_by_role("button", name="Add a camera").click()
    dialog = page.get_by_role("dialog", name="Add a camera")
    dialog.get_by_label("Address").fill(url)
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_role("button", name="Test").click()
    return dialog


def test_a_demonstration_is_played_paused_recorded_and_removed(
    page: Page, axe: Callable[[Page], None]
) -> None:
    expect(page.get_by_role("heading", name="No cameras yet")).to_be_visible()
    page.get_by_role("button", name="Play a demonstration").click()
    demonstration = cell(page, "demonstration")
    expect(demonstration.locator(".chip")).to_have_text("Live")
    shows_a_picture(demonstration.locator("img"))
    axe(page)
    demonstration.get_by_role("button", name="Record demonstration").click()
    expect(demonstration.locator(".chip")).to_have_text("Recording")
    demonstration.get_by_role("button", name="Stop recording demonstration").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download it").click()
    assert download.value.path().stat().st_size > 0
    demonstration.get_by_role("button", name="Pause demonstration").click()
    expect(demonstration.locator(".chip")).to_have_text("Paused")
    expect(demonstration.locator(".chip")).to_have_class(re.compile(r"^chip\s*$"))
    expect(demonstration.locator("img")).to_be_hidden()
    demonstration.get_by_role("button", name="Resume demonstration").click()
    expect(demonstration.locator(".chip")).to_have_text("Live")
    demonstration.get_by_role("button", name="Remove demonstration").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(demonstration).to_be_visible()
    demonstration.get_by_role("button", name="Remove demonstration").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_role("heading", name="No cameras yet")).to_be_visible()


def test_an_address_is_tested_before_it_is_added(page: Page, axe: Callable[[Page], None]) -> None:
    with http_camera(fps=10) as camera:
        dialog = add(page, f"{camera}/mjpeg", "gate")
        expect(dialog.get_by_text("It works: 320")).to_be_visible()
        axe(page)
        dialog.get_by_role("button", name="Add", exact=True).click()
        expect(dialog).to_be_hidden()
        expect(cell(page, "gate").locator(".chip")).to_have_text("Live")
        shows_a_picture(cell(page, "gate").locator("img"))
        expect(cell(page, "gate").get_by_role("link", name="Open gate")).to_have_attribute(
            "href", "#/live/gate"
        )


def test_an_address_that_fails_is_explained_and_may_be_added_anyway(
    page: Page, pages: WatchedPages
) -> None:
    dialog = add(page, "rtsp://127.0.0.1:1/cam", "door")
    expect(dialog.get_by_role("alert")).to_contain_text("cannot be reached")
    dialog.get_by_role("button", name="Add anyway").click()
    expect(dialog).to_be_hidden()
    expect(cell(page, "door").locator(".chip")).to_have_text("Trying again")
    expect(cell(page, "door")).to_contain_text("cannot be reached")
    pages.forgive("502")


def test_a_name_is_suggested_until_one_is_given(page: Page) -> None:
    page.get_by_role("button", name="Add a camera").click()
    dialog = page.get_by_role("dialog", name="Add a camera")
    dialog.get_by_label("Address").fill("rtsp://user:secret@10.0.0.7:554/Front.sdp?x=1")
    expect(dialog.get_by_label("Name")).to_have_value("10-0-0-7-554-front")
    dialog.get_by_label("Name").fill("front")
    dialog.get_by_label("Or a video on the server").select_option("film.mp4")
    expect(dialog.get_by_label("Address")).to_have_value("file:///film.mp4")
    expect(dialog.get_by_label("Name")).to_have_value("front")


def test_more_cameras_than_connections_are_shown_as_stills_and_left_alone_afterwards(
    server: RunningServer, page: Page
) -> None:
    page.get_by_role("button", name="Play a demonstration").click()
    preview = cell(page, "demonstration").locator("img")
    shows_a_picture(preview)
    assert "/preview?" in str(preview.get_attribute("src"))
    for number in range(4):
        film = {"name": f"film-{number}", "url": "file:///film.mp4", "loop": True}
        httpx.post(f"{server.http}/v1/streams", json=film).raise_for_status()
    last = cell(page, "film-3").locator("img")
    last.scroll_into_view_if_needed()
    shows_a_picture(last)
    first = str(last.get_attribute("src"))
    assert "/snapshot?" in first
    handle = last.element_handle()
    page.wait_for_function("([img, first]) => img.src !== first", arg=[handle, first])
    page.get_by_role("button", name="Picture", exact=True).click()
    page.wait_for_function("img => img.src.includes('overlay=false')", arg=handle)
    page.get_by_role("link", name="Server").click()
    expect(page.get_by_role("heading", name="Server")).to_be_visible()
    assert handle.get_attribute("src") is None


def test_streams_of_another_server_are_links_to_its_page(
    tmp_path: Path,
    open_page: Callable[..., Page],
    axe: Callable[[Page], None],
    pages: WatchedPages,
) -> None:
    make_clip(tmp_path / "film.mp4", frames=250)
    with closing(Cluster(tmp_path, f"sqlite:///{tmp_path / 'shared.db'}", **SMALL)) as cluster:
        mine, other = cluster.start("mine"), cluster.start("other")
        film = {"name": "yard", "url": "file:///film.mp4", "loop": True}
        httpx.post(f"{other.http}/v1/streams", json=film).raise_for_status()
        page = open_page(f"{mine.http}/#/cameras")
        link = cell(page, "yard").get_by_role("link", name="Open yard")
        host = other.address
        expect(link).to_have_text(f"Pulled by {host}")
        expect(page.get_by_text("No cameras yet")).to_be_hidden()
        axe(page)
        at_mine = open_page(f"{mine.http}/#/live/yard")
        expect(at_mine.get_by_role("alert")).to_contain_text(f"The server {host} pulls this stream")
        link.click()
        page.wait_for_url(f"{other.http}/#/live/yard")
        expect(page.get_by_role("img", name="Picture with its mask")).to_be_visible()
        pages.close()
    pages.forgive(f"//{host}/")
