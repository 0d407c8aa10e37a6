"""The live view: cameras, files and pulled streams under their masks, in Chromium."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import av
import clock_picture
import cv2
import film_camera
import numpy as np
import pytest
from http_cameras import http_camera
from numpy.typing import NDArray
from playwright.sync_api import Browser, Locator, Page, expect
from ports import free_port
from server_process import RunningServer
from throttling_proxy import throttling_proxy
from watched_pages import WatchedPages

import protocol

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser(
    launch: Callable[..., Browser], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """Chromium with a camera that shows numbered pictures."""
    film = film_camera.write_film(tmp_path_factory.mktemp("film") / "film.y4m")
    with launch(f"--use-file-for-fake-video-capture={film}", "--disable-gpu") as running:
        yield running


def number(page: Page, name: str) -> Locator:
    return page.locator(".numbers > div").filter(has_text=name).locator("dd")


def use_camera(page: Page) -> None:
    page.get_by_role("button", name="Use the camera").click()
    expect_masks(page)


def expect_masks(page: Page) -> None:
    expect(number(page, "Memory")).to_have_text(re.compile("[1-9] of 2"), timeout=30_000)
    expect(number(page, "Rate")).to_have_text(re.compile("[1-9]"), timeout=30_000)


def snapshot(page: Page) -> NDArray[np.uint8]:
    """Return the canvas's content, RGB."""
    with page.expect_download(timeout=60_000) as found:
        page.get_by_role("button", name="Save a snapshot").click()
    picture = cv2.imread(str(found.value.path()))
    assert picture is not None
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def status(page: Page) -> Locator:
    return page.locator(".stage [role=status]")


def post(url: str, body: dict[str, Any]) -> None:
    request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(request) as answer:
        assert answer.status == 201


def write_clip(path: Path) -> Path:
    """Write a few seconds of changing pictures in H.264."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", 10, {"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(30):
            picture = np.full((240, 320, 3), number * 8, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        file.mux(stream.encode())
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_camera_is_segmented_and_axe_finds_nothing(
    server: RunningServer, open_page: Open, axe: Callable[[Page], None], dark: bool
) -> None:
    page = open_page(server.http, dark=dark)
    use_camera(page)
    expect(status(page)).to_have_text("Live")
    expect(number(page, "Latency")).to_have_text(re.compile(r"\d+ ms"))
    assert page.locator("canvas").bounding_box()
    axe(page)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Use the camera")).to_be_visible()


def test_each_picture_is_shown_with_its_own_mask(server: RunningServer, open_page: Open) -> None:
    """The number in the picture names the frame that was sent with it, and so its mask."""
    page = open_page(server.http)
    traffic = Traffic()
    traffic.watch(page)
    use_camera(page)
    page.get_by_role("button", name="Next to").click()
    for _ in range(3):
        both = snapshot(page)
        middle = both.shape[1] // 2
        taken = clock_picture.read(both[:, :middle])
        assert taken, "the picture's number cannot be read"
        seq = traffic.newest(taken.number)
        own, *others = (
            traffic.likeness(one, both[:, middle:]) for one in (seq, seq - 1, seq - 2, seq + 1)
        )
        assert own > 0.97
        assert max(others) < own


def test_the_server_is_restarted_under_an_open_view(
    run_server: Callable[..., AbstractContextManager[RunningServer]],
    open_page: Open,
    pages: WatchedPages,
) -> None:
    port = str(free_port())
    with run_server("--port", port) as server:
        page = open_page(server.http)
        use_camera(page)
    expect(status(page)).to_have_text("Reconnecting…")
    with run_server("--port", port):
        expect(status(page)).to_have_text("Live", timeout=40_000)
        expect_masks(page)
    expect(status(page)).to_have_text("Reconnecting…")
    assert all(re.search("WebSocket|ERR_CONNECTION", one) for one in pages.complaints)
    pages.complaints.clear()


def test_a_hidden_page_sends_nothing_and_continues(server: RunningServer, open_page: Open) -> None:
    page = open_page(server.http)
    use_camera(page)
    expect(page.get_by_label("Source").locator("option:checked")).to_have_text(re.compile("film"))
    page.evaluate(HIDE, True)
    expect(status(page)).to_have_text("Paused")
    page.evaluate(HIDE, False)
    expect(status(page)).to_have_text("Live")
    expect_masks(page)


def test_a_slow_line_gets_smaller_frames(server: RunningServer, open_page: Open) -> None:
    with throttling_proxy(int(server.address.split(":")[1])) as line:
        page = open_page(f"http://127.0.0.1:{line.port}")
        traffic = Traffic()
        traffic.watch(page)
        use_camera(page)
        line.bytes_per_second = 4000
        largest = max(traffic.sizes)
        while traffic.sizes[-1] > largest * 0.7:
            page.wait_for_timeout(100)
        expect(status(page)).to_have_text("Live")
        page.close()


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--use-fake-ui-for-media-stream=deny", "The camera is blocked for this page."),
        ("--use-fake-device-for-media-stream=device-count=0", "No camera was found."),
    ],
    ids=["denied", "none"],
)
def test_a_camera_that_cannot_be_used(
    server: RunningServer,
    launch: Callable[..., Browser],
    pages: WatchedPages,
    axe: Callable[[Page], None],
    flag: str,
    sentence: str,
) -> None:
    with launch("--disable-gpu", flag) as browser:
        page = pages.open(browser, server.http)
        page.get_by_role("button", name="Use the camera").click()
        expect(page.get_by_role("alert")).to_contain_text(sentence)
        expect(page.get_by_role("button", name="Demonstration")).to_be_visible()
        axe(page)
        page.close()


def test_a_stream_of_the_server_is_watched(server: RunningServer, open_page: Open) -> None:
    with http_camera(fps=10) as camera:
        body = {"name": "yard", "url": f"{camera}/mjpeg"}
        post(f"{server.http}/v1/streams", body)
        page = open_page(server.http)
        page.get_by_role("link", name="yard").click()
        expect_masks(page)
        expect(page.get_by_label("Source")).to_have_value("stream:yard")
        page.get_by_role("button", name="Next to").click()
        both = snapshot(page)
        assert clock_picture.read(both[:, : both.shape[1] // 2]), "the picture is shown as it was"
        page.get_by_role("button", name="Stop").click()
        expect(page).to_have_url(f"{server.http}/#/live")
        expect(page.get_by_role("button", name="Use the camera")).to_be_visible()


def test_a_stream_that_does_not_exist_is_said_in_a_sentence(
    server: RunningServer, open_page: Open
) -> None:
    page = open_page(f"{server.http}/#/live/nowhere")
    expect(page.get_by_role("alert")).to_contain_text("nowhere")


def test_the_demonstration_runs_and_can_be_filmed(server: RunningServer, open_page: Open) -> None:
    page = open_page(server.http)
    page.get_by_role("button", name="Demonstration").click()
    expect_masks(page)
    record = page.get_by_role("button", name="Record a video")
    with page.expect_download(timeout=60_000) as found:
        record.click()
        expect(record).to_have_attribute("aria-pressed", "true")
        page.wait_for_timeout(1500)
        record.click()
    assert found.value.suggested_filename.endswith(".webm")
    with av.open(str(found.value.path())) as film:
        frame = next(film.decode(video=0))
        assert (frame.width, frame.height) == (640, 480)


@pytest.mark.timeout(240)
def test_the_shipped_model_segments_the_demonstration(
    run_server: Callable[..., AbstractContextManager[RunningServer]], open_page: Open
) -> None:
    with run_server("--engine", "onnx_rt") as server:
        page = open_page(server.http)
        page.get_by_role("button", name="Demonstration").click()
        expect(number(page, "Memory")).to_have_text("2 of 2", timeout=200_000)
        expect(page.get_by_role("button", name=re.compile("^Road [1-9]"))).to_be_visible()
        assert np.unique(snapshot(page)[::8, ::8].reshape(-1, 3), axis=0).shape[0] > 8
        page.close()


def test_a_file_is_played_and_a_wrong_one_is_named(
    server: RunningServer, open_page: Open, tmp_path: Path
) -> None:
    page = open_page(server.http)
    wrong = tmp_path / "notes.mp4"
    wrong.write_text("not a video")
    for file, outcome in (
        (wrong, lambda: expect(page.get_by_role("alert")).to_contain_text("notes.mp4")),
        (write_clip(tmp_path / "clip.mp4"), lambda: expect_masks(page)),
    ):
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Open a video file").click()
        chooser.value.set_files(file)
        outcome()


def test_classes_are_hidden_and_isolated_by_keyboard_and_mouse(
    server: RunningServer, open_page: Open
) -> None:
    page = open_page(server.http)
    road = page.get_by_role("button", name=re.compile("^road"))
    car = page.get_by_role("button", name=re.compile("^car"))
    road.focus()
    page.keyboard.press("Enter")
    expect(road).to_have_attribute("aria-pressed", "false")
    expect(car).to_have_attribute("aria-pressed", "true")
    car.dblclick()
    expect(page.get_by_role("button", name="Show only car")).to_have_attribute(
        "aria-pressed", "true"
    )
    expect(page.locator(".legend li > [aria-pressed=true]:first-child")).to_have_count(1)
    page.get_by_role("button", name="Show all").click()
    expect(page.locator(".legend li > [aria-pressed=true]:first-child")).to_have_count(11)


HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""

REPORT_FRAMES = """
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) {
  if (data instanceof Blob)
    data.arrayBuffer().then((bytes) => noteFrame(Array.from(new Uint8Array(bytes))));
  send.call(this, data);
};
"""
"""Playwright's own events do not contain the bytes of a Blob."""


class Traffic:
    """The frames and masks of a page's stream. Mutable state: the messages so far."""

    def __init__(self) -> None:
        self._sent: dict[int, int | None] = {}
        """The number in each frame's picture, by seq; None if it cannot be read."""
        self._masks: dict[int, NDArray[np.uint8]] = {}
        self._palette = np.zeros((256, 3), np.uint8)
        self.sizes: list[int] = []
        """Bytes of each frame, in order."""

    def watch(self, page: Page) -> None:
        """Load the page again and record the messages of its socket."""
        page.expose_function("noteFrame", lambda data: self._note_frame(bytes(data)))
        page.add_init_script(REPORT_FRAMES)
        page.on("websocket", lambda one: one.on("framereceived", self._note_answer))
        page.reload()

    def newest(self, number: int) -> int:
        """Return the seq of the newest mask of the picture with this number."""
        return max(seq for seq in self._masks if self._sent.get(seq) == number)

    def likeness(self, seq: int, shown: NDArray[np.uint8]) -> float:
        """Return the share of the mask's pixels that are shown in the colours of their classes."""
        if seq not in self._masks:
            return 0.0
        expected = self._palette[self._masks[seq]]
        places = (
            ((np.arange(own) + 0.5) * there / own).astype(int)
            for own, there in zip(expected.shape, shown.shape[:2], strict=False)
        )
        return float(np.mean(np.all(shown[np.ix_(*places)] == expected, axis=2)))

    def _note_frame(self, message: bytes) -> None:
        header, payload = protocol.unpack_frame(message, len(message))
        self.sizes.append(len(payload))
        taken = clock_picture.read(cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR))
        assert header.seq is not None
        self._sent[header.seq] = taken.number if taken else None

    def _note_answer(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            header, payload = protocol.unpack_mask(message, len(message))
            size = header.width, header.height
            self._masks[header.seq] = protocol.decode_mask(payload, header.encoding, *size)
        elif (ready := json.loads(message))["type"] == "ready":
            colours = [one["colour"] for one in ready["model"]["classes"]]
            self._palette[: len(colours)] = colours
