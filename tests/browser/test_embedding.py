"""The examples of docs/browser.md, in a page of another site: each shows masks."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from server_process import RunningServer
from watched_pages import WatchedPages

DOCS = Path(__file__).parents[2] / "docs" / "browser.md"
EXAMPLES = re.findall(r"^```js\n(.*?)^```", DOCS.read_text(), re.DOTALL | re.MULTILINE)
PAGE = """<!doctype html>
<link rel="icon" href="data:,">
<canvas></canvas>
<script type="module">%s</script>
"""

pytestmark = pytest.mark.browser


@dataclass
class Site:
    """A web server with one page, which has a canvas and ``script``."""

    address: str
    script: str = ""


@contextmanager
def another_site() -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write((PAGE % site.script).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        site = Site(f"http://127.0.0.1:{web.server_port}")
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield site
        web.shutdown()


def example(number: int, server: RunningServer) -> str:
    return str(EXAMPLES[number].replace("https://mastream.example", server.http))


def wait_for_picture(page: Page, width: int) -> None:
    """Wait until the canvas has this width and shows more than one colour."""
    expect(page.locator("canvas")).to_have_js_property("width", width)
    while np.ptp(np.asarray(Image.open(io.BytesIO(page.locator("canvas").screenshot())))) < 50:
        pass


def only_asks(pages: WatchedPages, server: RunningServer) -> None:
    """Remove the requests to the server, which is another host here, from the complaints."""
    asked = re.compile(rf"request to (http|ws)://{re.escape(server.address)}/")
    assert any(map(asked.match, pages.complaints))
    pages.complaints[:] = [one for one in pages.complaints if not asked.match(one)]


def test_fifteen_lines_show_the_masks_of_the_visitors_camera(
    run_server: Any, open_page: Callable[..., Page], pages: WatchedPages
) -> None:
    assert len(EXAMPLES[0].splitlines()) <= 15
    with another_site() as site, run_server(security__origins=f'["{site.address}"]') as server:
        site.script = example(0, server)
        wait_for_picture(open_page(site.address, permissions=["camera"]), width=640)
        pages.close()
    only_asks(pages, server)


def test_a_few_lines_show_a_camera_of_the_server(
    run_server: Any, open_page: Callable[..., Page], pages: WatchedPages, tmp_path: Path
) -> None:
    film = cv2.VideoWriter(
        str(tmp_path / "film.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 72)
    )
    for grey in range(60, 90):
        film.write(np.full((72, 96, 3), grey, np.uint8))
    film.release()
    camera = {"name": "front", "url": "file:///film.avi", "loop": True}
    with another_site() as site:
        settings = {"security__origins": f'["{site.address}"]', "live__files": str(tmp_path)}
        with run_server(**settings) as server:
            httpx.post(f"{server.http}/v1/streams", json=camera).raise_for_status()
            site.script = example(2, server)
            wait_for_picture(open_page(site.address), width=96)
            pages.close()
    only_asks(pages, server)
