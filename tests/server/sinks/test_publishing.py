"""The overlay of a stream on a real RTSP server."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from server.frame import Frame, Mask
from server.sinks.publishing import LONGEST_WAIT, Publisher, PublishState, backoff

WAIT = 30.0
PALETTE = np.array([(0, 0, 255), (255, 0, 0)], np.uint8)


def mask(seq: int, label: int = 1, height: int = 48, width: int = 64) -> Mask:
    """A mask of the model's size 24x32 over a grey picture, 25 per second."""
    picture = np.full((height, width, 3), 128, np.uint8)
    small = np.full((24, 32, 3), 128, np.uint8)
    frame = Frame(
        small, seq, pts=Fraction(100) + Fraction(seq, 25), size=(height, width), original=picture
    )
    return Mask(np.full((24, 32), label, np.uint8), frame)


class Film:
    """Offers a mask every 20 ms until it is stopped."""

    def __init__(self, publisher: Publisher, make: Callable[[int], Mask]) -> None:
        self.offered = 0
        self._publisher, self._make = publisher, make
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            self._publisher.offer(self._make(self.offered))
            self.offered += 1

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def publishing(url: str, make: Callable[[int], Mask] = mask) -> Iterator[Publisher]:
    publisher = Publisher("front", url, PALETTE, wait=lambda _: 0.1)
    film = Film(publisher, make)
    try:
        yield publisher
    finally:
        film.stop()
        publisher.close()


def until(met: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WAIT
    while not met():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_the_overlay_arrives_with_its_size_colours_and_times(rtsp_recorder: Any) -> None:
    server = rtsp_recorder()
    with publishing(server.url) as publisher:
        until(lambda: len(server.pictures()) >= 25)
        assert publisher.status.state is PublishState.LIVE
        assert publisher.status.sent >= 25
        assert publisher.status.detail == ""
    pictures = server.pictures()
    assert {(one.width, one.height) for one in pictures} == {(64, 48)}
    times = [one.time for one in pictures]
    assert all(later > earlier for earlier, later in pairwise(times))
    # Half grey, half the red of class 1.
    colour = pictures[5].to_ndarray(format="rgb24")[24, 32].astype(int)
    assert colour == pytest.approx([192, 64, 64], abs=6)


def test_pictures_of_odd_size_are_rounded_up(rtsp_recorder: Any) -> None:
    server = rtsp_recorder()
    with publishing(server.url, lambda seq: mask(seq, height=47, width=63)):
        until(server.pictures)
    assert (server.pictures()[0].width, server.pictures()[0].height) == (64, 48)


def test_a_server_that_is_restarted_gets_the_overlay_again(rtsp_recorder: Any) -> None:
    server = rtsp_recorder()
    with publishing(server.url) as publisher:
        until(lambda: len(server.pictures()) >= 5)
        server.kill()
        until(lambda: publisher.status.state is PublishState.BACKOFF)
        assert publisher.status.detail.endswith(".")
        until(lambda: "listens" in publisher.status.detail)
        server.start()
        until(lambda: len(server.pictures()) >= 5)
        assert publisher.status.state is PublishState.LIVE


def test_another_size_is_published_anew(rtsp_recorder: Any) -> None:
    server = rtsp_recorder()
    size = {"height": 48, "width": 64}
    with publishing(server.url, lambda seq: mask(seq, **size)) as publisher:
        until(lambda: len(server.pictures()) >= 5)
        size |= {"height": 96, "width": 128}
        until(lambda: [one.width for one in server.pictures()[:1]] == [128])
        assert publisher.status.detail == ""
    assert server.pictures()[0].height == 96


def test_a_password_is_sent_and_shown_nowhere(
    rtsp_recorder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = rtsp_recorder(password="geheim")
    with publishing(server.url.replace("//", "//user:geheim@")):
        until(server.pictures)
    with publishing(server.url.replace("//", "//user:falsch@")) as publisher:
        until(lambda: publisher.status.state is PublishState.BACKOFF)
        assert publisher.status.detail == "The RTSP server refused the user name or password."
        assert "falsch" not in repr(publisher) + repr(publisher.status)
    assert "geheim" not in caplog.text and "falsch" not in caplog.text


@pytest.mark.parametrize("path", ["/nothing", "/overlay"])
def test_what_is_not_there_is_reported(path: str, rtsp_recorder: Any) -> None:
    url = rtsp_recorder().url.replace("/overlay", path)
    if path == "/overlay":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"rtsp://127.0.0.1:{free.getsockname()[1]}/overlay"
    with publishing(url) as publisher:
        until(lambda: publisher.status.state is PublishState.BACKOFF)
        words = {"/nothing": "no such path", "/overlay": "No RTSP server listens"}[path]
        assert words in publisher.status.detail


def test_a_silent_server_stops_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.sinks.publishing.CLOSE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/overlay"
        publisher = Publisher("front", url, PALETTE)
        film = Film(publisher, mask)
        until(lambda: publisher.status.state is PublishState.CONNECTING)
        connection, _ = silent.accept()
        offered = film.offered
        until(lambda: film.offered > offered + 25)
        assert publisher.status.state is PublishState.CONNECTING
        film.stop()
        publisher.close()
        assert not any(one.name == "publish front" for one in threading.enumerate())
        connection.close()


def noise(seq: int) -> Mask:
    """A mask over a large picture that takes many bytes, so that buffers are soon full."""
    small = np.zeros((24, 32, 3), np.uint8)
    picture = np.random.default_rng(seq % 4).integers(0, 255, (360, 640, 3), np.uint8)
    frame = Frame(small, seq, pts=Fraction(seq, 25), size=(360, 640), original=picture)
    return Mask(np.zeros((24, 32), np.uint8), frame)


def test_a_server_that_freezes_is_left_and_tried_again(
    rtsp_recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.sinks.publishing.WRITE_SECONDS", 1.0)
    server = rtsp_recorder()
    with publishing(server.url, noise) as publisher:
        until(lambda: publisher.status.state is PublishState.LIVE)
        server.suspend()
        until(lambda: publisher.status.state is PublishState.BACKOFF)
        assert publisher.status.detail == "The RTSP server reads too slowly, or not at all."
        server.kill()
        server.start()
        until(lambda: publisher.status.state is PublishState.LIVE)


def test_without_masks_the_server_is_left_until_the_next(
    rtsp_recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.sinks.publishing.IDLE_SECONDS", 0.3)
    server = rtsp_recorder()
    publisher = Publisher("front", server.url, PALETTE)
    film = Film(publisher, mask)
    until(lambda: publisher.status.state is PublishState.LIVE)
    film.stop()
    until(lambda: publisher.status.state is PublishState.WAITING)
    film = Film(publisher, mask)
    until(lambda: publisher.status.state is PublishState.LIVE)
    film.stop()
    publisher.close()
    sent = publisher.status.sent
    publisher.offer(mask(0))
    assert publisher.status.sent == sent
    assert not any(one.name == "publish front" for one in threading.enumerate())


def test_who_leaves_disconnects_before_it_is_closed(rtsp_recorder: Any) -> None:
    with publishing(rtsp_recorder().url) as publisher:
        until(lambda: publisher.status.state is PublishState.LIVE)
        publisher.leave()
        until(lambda: not any(one.name == "publish front" for one in threading.enumerate()))


def test_waits_are_doubled_up_to_the_longest() -> None:
    for attempt in range(12):
        longest = min(LONGEST_WAIT, 2.0**attempt)
        assert max(1.0, longest / 2) <= backoff(attempt) <= longest
