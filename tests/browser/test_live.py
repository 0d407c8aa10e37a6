"""The live view: cameras, files and pulled streams under their masks, in Chromium."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import clock_picture
import cv2
import film_camera
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Locator, Page, expect
from server_process import RunningServer

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
    """Return what the canvas shows, RGB."""
    with page.expect_download(timeout=60_000) as found:
        page.get_by_role("button", name="Save a snapshot").click()
    picture = cv2.imread(str(found.value.path()))
    assert picture is not None
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_camera_is_segmented_and_axe_finds_nothing(
    server: RunningServer, open_page: Open, axe: Callable[[Page], None], dark: bool
) -> None:
    page = open_page(server.http, dark=dark)
    use_camera(page)
    expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
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

    def watch(self, page: Page) -> None:
        """Load the page again and note the messages of its socket."""
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
