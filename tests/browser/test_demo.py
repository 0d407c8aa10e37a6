"""The demonstration clip in Chromium: a stream of pictures, and a file that the server accepts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page
from server_process import RunningServer

pytestmark = pytest.mark.browser

STREAM = """async () => {
  const { demoStream } = await import("/browser/demo.js");
  const video = document.createElement("video"), seen = new Set();
  video.muted = true;
  video.srcObject = demoStream();
  const copy = new OffscreenCanvas(640, 480).getContext("2d", { willReadFrequently: true });
  await video.play();
  while (seen.size < 3) {
    await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
    copy.drawImage(video, 0, 0);
    seen.add(copy.getImageData(12, 12, 96, 44).data.join());
  }
  for (const track of video.srcObject.getTracks()) track.stop();
  return [video.videoWidth, video.videoHeight];
}"""

DRAWN = """async () => {
  const { drawStreet } = await import("/browser/demo.js");
  const canvases = [7, 7, 8].map((number) => {
    const canvas = new OffscreenCanvas(640, 480);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    drawStreet(context, number);
    return context.getImageData(0, 0, 640, 480).data.join();
  });
  return [canvases[0] === canvases[1], canvases[0] === canvases[2]];
}"""

FILE = """async () => {
  const { demoFile } = await import("/browser/demo.js");
  const file = await demoFile();
  const answer = await fetch(`/v1/videos?name=${file.name}`, { method: "POST", body: file });
  let video = await answer.json();
  while (["queued", "running"].includes(video.state)) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    video = await (await fetch(video.links.self)).json();
  }
  const { width, height } = video.source;
  return [file.name, file.type, answer.status, video.state, width, height];
}"""


def test_the_stream_shows_one_numbered_picture_after_another(
    server: RunningServer, open_page: Callable[..., Page]
) -> None:
    assert open_page(f"{server.http}/").evaluate(STREAM) == [640, 480]


def test_a_number_is_always_the_same_picture(
    server: RunningServer, open_page: Callable[..., Page]
) -> None:
    assert open_page(f"{server.http}/").evaluate(DRAWN) == [True, False]


def test_the_server_takes_the_file(server: RunningServer, open_page: Callable[..., Page]) -> None:
    found = open_page(f"{server.http}/").evaluate(FILE)
    assert found == ["street.webm", "video/webm", 202, "succeeded", 640, 480]
