"""The view "videos": files are added by hand, and their results are viewed frame by frame."""

from __future__ import annotations

import base64
import os
import re
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from numbered_clip import BITS, middles, numbered_clip
from playwright.sync_api import Page, expect
from server_process import RunningServer
from watched_pages import WatchedPages

pytestmark = pytest.mark.browser

RunServer = Callable[..., AbstractContextManager[RunningServer]]
FRAMES = 40

DROP = """([name, text]) => {
  const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], name, { type: "video/mp4" }));
  for (const kind of ["dragover", "drop"])
    document.body.dispatchEvent(
      new DragEvent(kind, { dataTransfer: files, bubbles: true, cancelable: true }));
}"""

READ = """([left, right]) => {
  const canvas = document.querySelector(".pair canvas");
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const isWhite = ([x, y]) => {
    const [red, green, blue] = context.getImageData(x * canvas.width, y * canvas.height, 1, 1).data;
    return red + green + blue > 320;
  };
  const number = (places) => places.reduce((sum, place, bit) => sum + (isWhite(place) << bit), 0);
  const shown = Number(document.querySelector("output").textContent.match(/\\d+/)) - 1;
  return [number(left), number(right), shown];
}"""
"""The number in the source (left of the divider), in the result, and in the player's text."""

SAMPLE = """([read, places]) => new Promise((done) => {
  const seen = [], look = eval(read);
  let hasPlayed = false;
  const next = () => {
    seen.push(look(places));
    const isPlaying = Boolean(document.querySelector('[aria-label="Pause"]'));
    if ((hasPlayed ||= isPlaying) && !isPlaying) done(seen);
    else requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
})"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clips") / "street & sky.mp4", FRAMES)


def choose(page: Page, *files: Path) -> None:
    page.locator("input[type=file]").set_input_files([str(file) for file in files])


def uploaded(server: RunningServer, clip: Path) -> dict[str, Any]:
    """Upload a video without the page; return it once it has succeeded."""
    answer = httpx.post(f"{server.http}/v1/videos?name={clip.stem}", content=clip.read_bytes())
    with httpx.stream("GET", server.http + answer.json()["links"]["events"]) as events:
        assert any('"succeeded"' in line for line in events.iter_lines())
    video: dict[str, Any] = httpx.get(server.http + answer.json()["links"]["self"]).json()
    return video


def numbers(page: Page) -> tuple[int, int, int]:
    left, right, shown = page.evaluate(READ, [middles(0), middles(1)])
    return left, right, shown


def expect_frame(page: Page, frame: int) -> None:
    expect(page.locator("output")).to_contain_text(f"Frame {frame + 1} of {FRAMES},")
    assert numbers(page) == (frame, frame, frame)


def test_a_dropped_file_is_segmented_and_its_results_can_be_downloaded(
    run_server: RunServer, open_page: Callable[..., Page], axe: Callable[[Page], None], clip: Path
) -> None:
    with run_server(videos__min_free_bytes="0") as server:
        page = open_page(f"{server.http}/#/videos")
        expect(page.get_by_role("heading", name="No videos yet")).to_be_visible()
        axe(page)
        text = base64.b64encode(clip.read_bytes()).decode()
        page.evaluate(DROP, [clip.name, text])
        expect(page.get_by_text("Done")).to_be_visible()
        page.get_by_role("button", name="Download").click()
        links = page.locator(".files a").evaluate_all("(all) => all.map((one) => one.href)")
        assert {"source", "overlay.mp4", "summary.json"} <= {one.split("/")[-1] for one in links}
        assert all(httpx.head(link).status_code == 200 for link in links)
        axe(page)
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Remove: street & sky.mp4").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(page.get_by_role("heading", name="No videos yet")).to_be_visible()
        assert httpx.get(f"{server.http}/v1/videos").json()["videos"] == []


def test_a_file_that_is_no_video_is_refused_in_the_server_s_words(
    server: RunningServer, open_page: Callable[..., Page], pages: WatchedPages, tmp_path: Path
) -> None:
    wrong = tmp_path / "notes.mp4"
    wrong.write_text("these are notes")
    page = open_page(f"{server.http}/#/videos")
    choose(page, wrong)
    expect(page.get_by_text("The file is not a supported video container")).to_be_visible()
    expect(page.get_by_text("Not accepted")).to_be_visible()
    page.get_by_role("button", name="Dismiss: notes.mp4").click()
    expect(page.get_by_text("notes.mp4")).to_have_count(0)
    assert all("415" in one for one in pages.complaints)
    pages.complaints.clear()


def test_a_queue_shows_its_progress_and_can_be_cancelled(
    run_server: RunServer, open_page: Callable[..., Page], axe: Callable[[Page], None], clip: Path
) -> None:
    with run_server(videos__min_free_bytes="0", engine__fake_step_ms="400") as server:
        page = open_page(f"{server.http}/#/videos", dark=True)
        choose(page, clip, clip)
        expect(page.get_by_text("Segmenting")).to_be_visible()
        expect(page.get_by_text("Queued")).to_be_visible()
        expect(page.get_by_text(re.compile(r"[\d.]+ frames/s, \d+:\d\d left"))).to_be_visible()
        done = page.locator(".video progress").last
        expect(done).not_to_have_js_property("value", 0)
        axe(page)
        page.get_by_role("button", name="Cancel: street & sky.mp4").last.click()
        expect(page.get_by_text("Cancelled")).to_be_visible()
        expect(page.get_by_text("Segmenting")).to_be_visible()
        page.close()


def test_a_running_video_is_watched_while_it_grows(
    run_server: RunServer, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    long = numbered_clip(tmp_path / "long.mp4", 120)
    with run_server(videos__min_free_bytes="0", engine__fake_step_ms="100") as server:
        page = open_page(f"{server.http}/#/videos")
        choose(page, long)
        page.get_by_role("link", name="long.mp4").click()
        growing = page.get_by_label("The result so far")
        expect(growing).to_have_js_property("videoWidth", 640)
        expect(page.locator("output")).to_contain_text("Frame 1 of 120,")
        expect(growing).to_have_count(0)


def test_source_and_result_show_the_same_frame(
    server: RunningServer, open_page: Callable[..., Page], axe: Callable[[Page], None], clip: Path
) -> None:
    video = uploaded(server, clip)
    page = open_page(f"{server.http}/#/videos/{video['id']}")
    expect_frame(page, 0)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        axe(page)
    page.keyboard.press("ArrowRight")
    expect_frame(page, 1)
    page.keyboard.press("Shift+ArrowRight")
    expect_frame(page, 11)
    page.keyboard.press("ArrowLeft")
    expect_frame(page, 10)
    page.keyboard.press("End")
    expect_frame(page, FRAMES - 1)
    page.keyboard.press("Home")
    expect_frame(page, 0)
    page.get_by_label("Speed").select_option("0.25")
    page.get_by_role("button", name="Play").click()
    seen = page.evaluate(SAMPLE, [READ, [middles(0), middles(1)]])
    assert all(left == right == shown for left, right, shown in seen), seen
    assert len({shown for _, _, shown in seen}) > 3
    expect_frame(page, FRAMES - 1)


def test_the_chart_is_the_seek_bar(
    server: RunningServer, open_page: Callable[..., Page], clip: Path
) -> None:
    video = uploaded(server, clip)
    page = open_page(f"{server.http}/#/videos/{video['id']}")
    expect_frame(page, 0)
    bar = page.get_by_role("slider", name="Frame")
    box = bar.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(bar).not_to_have_value("0")
    chosen = int(bar.input_value())
    assert abs(chosen - FRAMES / 2) <= 1
    expect_frame(page, chosen)
    bar.press("ArrowLeft")
    expect_frame(page, chosen - 1)
    expect(bar).to_have_attribute("aria-valuetext", re.compile(f"^Frame {chosen} of {FRAMES}, 0:"))
    areas = httpx.get(server.http + video["links"]["summary.json"]).json()["frames"]
    name, share = max(areas[chosen - 1]["areas"].items(), key=lambda one: one[1])
    key = page.locator(".keys button", has_text=name)
    expect(key).to_contain_text(f"{share * 100:.0f} %")
    before = page.locator(".plot path").count()
    key.click()
    expect(key).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".plot path")).to_have_count(before - 1)


def test_a_result_without_its_source_is_played_alone(
    run_server: RunServer, open_page: Callable[..., Page], clip: Path
) -> None:
    with run_server(videos__min_free_bytes="0", videos__keep_uploads="false") as server:
        video = uploaded(server, clip)
        page = open_page(f"{server.http}/#/videos/{video['id']}")
        expect(page.locator("output")).to_contain_text(f"Frame 1 of {FRAMES},")
        page.keyboard.press("ArrowRight")
        expect(page.locator("output")).to_contain_text(f"Frame 2 of {FRAMES},")
        expect(page.get_by_role("button", name="Side by side")).to_be_hidden()
        assert numbers(page)[1] == 1


def test_an_upload_continues_after_its_server_was_killed(
    run_server: RunServer, open_page: Callable[..., Page], pages: WatchedPages, clip: Path
) -> None:
    size = 6_000_000
    large = clip.with_name("large.mp4")
    padding = (size + 8).to_bytes(4, "big") + b"free" + os.urandom(size)
    large.write_bytes(clip.read_bytes() + padding)
    with run_server(videos__min_free_bytes="0") as server:
        page = open_page(f"{server.http}/#/videos")
        slow = {"offline": False, "latency": 0, "downloadThroughput": -1}
        devtools = page.context.new_cdp_session(page)
        devtools.send("Network.enable")
        devtools.send("Network.emulateNetworkConditions", slow | {"uploadThroughput": 1e6})
        offsets: list[int] = []
        page.on(
            "request",
            lambda one: one.method == "PATCH" and offsets.append(int(one.headers["upload-offset"])),
        )
        choose(page, large)
        expect(page.locator(".video progress")).to_have_attribute("value", re.compile(r"^0\.[4-9]"))
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        expect(page.get_by_text("The upload continues as soon as")).to_be_visible()
    devtools.send("Network.emulateNetworkConditions", slow | {"uploadThroughput": -1})
    port = server.address.rpartition(":")[2]
    with run_server("--port", port, videos__min_free_bytes="0") as again:
        expect(page.get_by_text("Done")).to_be_visible(timeout=30_000)
        (video,) = httpx.get(f"{again.http}/v1/videos").json()["videos"]
        assert httpx.get(again.http + video["links"]["source"]).content == large.read_bytes()
    assert offsets[0] == 0
    assert offsets[-1] > 0
    pages.complaints.clear()


def test_the_numbers_are_legible() -> None:
    assert 2**BITS > FRAMES
