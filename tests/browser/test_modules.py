"""The page's modules in Chromium: the golden vectors, painted pixels, a stream that survives."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route
from ports import free_port
from server_process import RunningServer
from watched_pages import WatchedPages

from protocol import schema, vectors

SCRIPTS = Path(__file__).parents[1] / "e2e" / "node"
FRAMES = 24

pytestmark = pytest.mark.browser

VECTORS = """async ([vectors, schema]) => {
  const client = await import("/browser/wire.js"), { check } = await import("/tests/vectors.mjs");
  return check(client, vectors, schema);
}"""

PAINT = """async (way) => {
  if (way !== "worker") globalThis.Worker = undefined;
  const { getContext } = HTMLCanvasElement.prototype;
  if (way === "flat") HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
    return kind === "webgl2" ? null : getContext.call(this, kind, ...rest);
  };
  const { painter } = await import("/browser/paint.js");
  const pixel = async (paint) => {
    const shot = await createImageBitmap(await paint.snapshot());
    const copy = new OffscreenCanvas(shot.width, shot.height);
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.drawImage(shot, 0, 0);
    const pixels = [5, 15, 35].map((x) => [...context.getImageData(x, 5, 1, 1).data]);
    return [...pixels, [shot.width, shot.height]];
  };
  const canvas = document.createElement("canvas");
  const grey = new OffscreenCanvas(40, 20);
  document.body.append(canvas);
  grey.getContext("2d").fillStyle = "rgb(100 100 100)";
  grey.getContext("2d").fillRect(0, 0, 40, 20);
  const paint = painter(canvas, [{ colour: [200, 0, 0] }, { colour: [0, 200, 0] }]);
  paint.opacity = 0.5;
  paint.draw(grey.transferToImageBitmap(), Uint8Array.from([0, 1, 1, 1, 0, 1, 1, 0]), 4, 2);
  const over = await pixel(paint);
  paint.hidden.add(1);
  const hidden = await pixel(paint);
  paint.hidden.clear();
  paint.mode = "mask";
  paint.isolated = 1;
  const mask = await pixel(paint);
  paint.mode = "beside";
  const beside = await pixel(paint);
  paint.close();
  return { over, hidden, mask, beside };
}"""

STREAM = """async (count) => {
  const { openStream } = await import("/browser/stream.js");
  const { picture } = await import("/tests/pictures.mjs");
  const found = (globalThis.found = { masks: [], ready: [], states: [] });
  const stream = openStream(new URL("/v1/stream", location), {
    open: { input: "rgb24", width: 64, height: 48, output: "raw", policy: "every" },
    onready: (_, memory) => found.ready.push(memory),
    onmask: ({ labels }) => found.masks.push(labels.join()),
    onstate: (state) => state === found.states.at(-1) || found.states.push(state),
  });
  (async () => {
    for (let number = 0; number < count && (await stream.room()); )
      if (stream.send(picture(number, 64, 48)) !== null) number++;
    stream.end();
  })();
}"""

UNTIL = """async ({ masks = 0, state }) => {
  while (found.masks.length < masks || (state && found.states.at(-1) !== state))
    await new Promise((resolve) => setTimeout(resolve, 20));
  return found;
}"""


def with_scripts(page: Page) -> Page:
    """Let the page import the scripts of the tests, as if its server had them."""

    def serve(route: Route) -> None:
        name = route.request.url.rsplit("/", 1)[1]
        route.fulfill(path=SCRIPTS / name, content_type="text/javascript")

    page.route("**/tests/*", serve)
    return page


def test_the_vectors_pass_in_a_browser(
    server: RunningServer, open_page: Callable[..., Page]
) -> None:
    golden = json.loads(vectors.PATH.read_text())
    page = with_scripts(open_page(f"{server.http}/"))
    done = page.evaluate(VECTORS, [golden, json.loads(schema.PATH.read_text())])
    assert done == {group: len(cases) for group, cases in golden.items() if group != "about"}


@pytest.mark.parametrize("way", ["worker", "page", "flat"])
def test_masks_are_painted_in_their_colours_at_their_places(
    server: RunningServer, open_page: Callable[..., Page], way: str
) -> None:
    found = open_page(f"{server.http}/").evaluate(PAINT, way)
    red, green, clear = [150, 50, 50, 255], [50, 150, 50, 255], [0, 0, 0, 0]
    grey, pure = [100, 100, 100, 255], [0, 200, 0, 255]
    size = [40, 20]
    for name, wanted in {
        "beside": [grey, grey, grey, [80, 20]],
        "over": [red, green, green, size],
        "hidden": [red, grey, grey, size],
        "mask": [clear, pure, pure, size],
    }.items():
        for given, colour in zip(found[name], wanted, strict=True):
            assert given == pytest.approx(colour, abs=2), name


def test_a_stream_survives_the_death_of_its_server(
    run_server: Any, open_page: Callable[..., Page], pages: WatchedPages
) -> None:
    port = str(free_port())
    with ExitStack() as stack:
        first = stack.enter_context(run_server("--port", port, engine__fake_step_ms="20"))
        page = with_scripts(open_page(f"{first.http}/"))
        page.evaluate(STREAM, FRAMES)
        page.evaluate(UNTIL, {"masks": 7})
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        stack.enter_context(run_server("--port", port))
        broken = page.evaluate(UNTIL, {"state": "ended"})
        page.evaluate(STREAM, FRAMES)
        whole = page.evaluate(UNTIL, {"state": "ended"})
    assert broken["masks"] == whole["masks"]
    assert len(set(broken["masks"])) == FRAMES
    assert broken["ready"] == ["new", "rebuilt"]
    assert broken["states"] == ["live", "waiting", "live", "ended"]
    lost = re.compile(r"console error: (WebSocket connection|Failed to load)")
    pages.complaints[:] = [one for one in pages.complaints if not lost.match(one)]
