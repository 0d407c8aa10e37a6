"""Cameras over HTTP: MJPEG (multipart), FLV and MPEG-TS, with pictures of clock_picture.

with http_camera(fps=25) as base:
    base + "/mjpeg", base + "/flv", base + "/ts"
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import clock_picture
import cv2
import numpy as np
from av.video.frame import VideoFrame

SIZE = 320, 240

BOUNDARY = "--picture"


class _Handler(BaseHTTPRequestHandler):
    fps: float
    password: str
    folder: Path | None
    stopped: threading.Event

    def do_GET(self) -> None:
        send = {"/mjpeg": self._mjpeg, "/flv": self._flv, "/ts": self._ts}.get(self.path)
        if send is None:
            self._file()
        elif self.password and not self._allowed():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
        else:
            self.send_response(200)
            with suppress(OSError):
                send()

    def _file(self) -> None:
        path = self.folder / self.path.strip("/") if self.folder else None
        if path is None or not path.is_file():
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(path.stat().st_size))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(path.read_bytes())

    def log_message(self, *_: object) -> None:
        pass

    def _allowed(self) -> bool:
        expected = "Basic " + base64.b64encode(self.password.encode()).decode()
        return self.headers.get("Authorization") == expected

    def _pictures(self) -> Iterator[VideoFrame]:
        due, number = time.monotonic(), 0
        width, height = SIZE
        while not self.stopped.wait(max(0.0, due - time.monotonic())):
            due += 1 / self.fps
            number += 1
            data = clock_picture.paint(number, time.time(), width, height)
            planes = np.frombuffer(data, np.uint8).reshape(height * 3 // 2, width)
            frame = VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = number
            yield frame

    def _mjpeg(self) -> None:
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY[2:]}")
        self.end_headers()
        for picture in self._pictures():
            _, jpeg = cv2.imencode(".jpg", picture.to_ndarray(format="bgr24"))
            head = f"{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg.tobytes() + b"\r\n")

    def _flv(self) -> None:
        self._container("flv", "video/x-flv")

    def _ts(self) -> None:
        self._container("mpegts", "video/mp2t")

    def _container(self, name: str, kind: str) -> None:
        self.send_header("Content-Type", kind)
        self.end_headers()
        options = {"flush_packets": "1"}
        with suppress(av.FFmpegError), av.open(self.wfile, "w", name, options=options) as container:
            stream: Any = container.add_stream("libx264", rate=int(self.fps))
            stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
            stream.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "25"}
            for picture in self._pictures():
                container.mux(stream.encode(picture))


@contextmanager
def http_camera(fps: float = 25, password: str = "", folder: Path | None = None) -> Iterator[str]:
    """Serve on a free loopback port; ``password`` is "user:password", required if given."""
    stopped = threading.Event()
    fields = {"fps": fps, "password": password, "folder": folder, "stopped": stopped}
    handler = type("Handler", (_Handler,), fields)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()
