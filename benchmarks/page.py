"""The page's performance in Chromium: pictures per second, and the load of its main thread.

    python -m benchmarks.page [--size 1280x720] [--seconds 15] [--engine fake]

A server is started, and the page opened as soon as the server answers; the page uses a camera that
plays a video of this size at 25 pictures per second. ``first`` is the time from the start of the
server's process to the first mask on the page. ``busy`` is the share of its time that the page's
main thread spent in tasks, ``longest`` the longest interval between two animation frames.

Server and browser share the machine. Chromium has no GPU and emulates none, so the page paints in
2D instead of WebGL. Needs Debian's package chromium.
"""

from __future__ import annotations

import re
import shutil
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from playwright.sync_api import Page, expect, sync_playwright
from tabulate import tabulate

from benchmarks.servers import mastream_server

RATE = 25
FILM_SECONDS = 4
START_MS = 60_000.0

FLAGS = (
    "--no-sandbox",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--disable-gpu",
    "--disable-software-rasterizer",
)
"""Without the last one Chromium emulates a GPU on the processor, which takes up a core."""

LONGEST = """seconds => new Promise((resolve) => {
  let last = performance.now(), longest = 0;
  const end = last + seconds * 1000;
  const step = (now) => {
    longest = Math.max(longest, now - last);
    last = now;
    if (now < end) requestAnimationFrame(step); else resolve(longest);
  };
  requestAnimationFrame(step);
})"""
"""Returns the longest interval between two animation frames, in ms."""


@dataclass(frozen=True, slots=True)
class Cost:
    """``first`` is in s, ``busy`` a share (0 to 1), ``longest`` in ms; ``shown`` is what the page
    displays about itself."""

    first: float
    busy: float
    script: float
    longest: float
    shown: dict[str, str]


def measure(size: tuple[int, int], seconds: float, *flags: str) -> Cost:
    """Use the page for this many seconds; ``flags`` are the server's."""
    with TemporaryDirectory() as folder:
        film = write_film(Path(folder) / "film.y4m", size)
        began = time.monotonic()
        with mastream_server(*flags) as address, _page(film) as page:
            page.goto(address.replace("ws://", "http://"))
            page.get_by_role("button", name="Use the camera").click()
            rate = page.locator(".numbers > div").filter(has_text="Rate").locator("dd")
            expect(rate).to_have_text(re.compile("[1-9]"), timeout=START_MS)
            first = time.monotonic() - began
            page.wait_for_timeout(3000)
            return _cost(page, seconds, first)


def write_film(path: Path, size: tuple[int, int]) -> Path:
    """Write drifting blocks as an uncompressed video, which Chromium plays as a camera."""
    width, height = size
    blocks = np.random.default_rng(0).integers(0, 256, (height // 16, width // 16), np.uint8)
    luma = blocks.repeat(16, 0).repeat(16, 1)
    chroma = np.full((height // 2, width), 128, np.uint8)
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{RATE}:1 Ip A1:1 C420jpeg\n".encode())
        for number in range(RATE * FILM_SECONDS):
            file.write(b"FRAME\n" + np.roll(luma, -4 * number, 1).tobytes() + chroma.tobytes())
    return path


@contextmanager
def _page(film: Path) -> Iterator[Page]:
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        flags = [*FLAGS, f"--use-file-for-fake-video-capture={film}"]
        with playwright.chromium.launch(executable_path=chromium, args=flags) as browser:
            yield browser.new_page(viewport={"width": 1280, "height": 900})


def _cost(page: Page, seconds: float, first: float) -> Cost:
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def spent() -> dict[str, float]:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return {one["name"]: one["value"] for one in metrics}

    before = spent()
    longest = page.evaluate(LONGEST, seconds)
    after = spent()
    passed = after["Timestamp"] - before["Timestamp"]
    busy, script = (
        (after[name] - before[name]) / passed for name in ("TaskDuration", "ScriptDuration")
    )
    shown = page.locator(".numbers > div").evaluate_all(
        "all => all.map(one => [...one.querySelectorAll('dt, dd')].map(it => it.textContent))"
    )
    return Cost(first, busy, script, longest, {name: value for name, value, *_ in shown})


def main() -> None:
    parser = ArgumentParser("python -m benchmarks.page")
    parser.add_argument("--size", default="1280x720", metavar="WxH")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--engine", default="", help="the server's, by default the shipped model's")
    given: Any = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    flags = ("--engine", given.engine) if given.engine else ()
    cost = measure((width, height), given.seconds, *flags)
    rows = [
        ("first mask on the page", f"{cost.first:.1f} s"),
        ("main thread busy", f"{cost.busy:.1%}"),
        ("of it in scripts", f"{cost.script:.1%}"),
        ("longest between two animation frames", f"{cost.longest:.0f} ms"),
        *((f"the page's {name}", value) for name, value in cost.shown.items()),
    ]
    print(tabulate(rows, tablefmt="plain"))


if __name__ == "__main__":
    main()
