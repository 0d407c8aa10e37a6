"""The JSON of a video outside a request."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI
from starlette.datastructures import URL

from server.videos.progress import Video
from server.web.videos.video_body import video_body


def video_json(app: FastAPI) -> Callable[[Video], bytes]:
    """Return a function that returns a video as ``GET /v1/videos/ID`` of the app does."""

    def url_for(name: str, /, **path: str) -> URL:
        return URL(str(app.url_path_for(name, **path)))

    return lambda video: video_body(video, url_for).model_dump_json().encode()
