"""The profile `camera`: the server pulls a test camera and publishes the overlay."""

from __future__ import annotations

from collections.abc import Iterator

import av
import httpx
from probe import check
from project import PATIENCE, Project, fetch, until

FRAMES = 10


def shows(project: Project) -> Iterator[str]:
    project = project.using("camera")
    project.up()
    project.wait_healthy("mastream")
    yield is_added(project)
    yield is_pulled(project)
    yield is_published(project)
    project.run("restart", "camera")
    yield f"the camera restarted: {is_published(project)}"


def is_added(project: Project) -> str:
    until(
        lambda: [one.exit_code for one in project.engine.containers("add-camera")] == [0],
        lambda: f"add-camera does not end with 0: {project.log('add-camera')}",
    )
    return "add-camera added the camera and ended"


def is_pulled(project: Project) -> str:
    url = f"{project.url()}/v1/streams/camera"
    until(lambda: fetch(url)["state"] == "live", lambda: f"the camera is not live: {fetch(url)}")
    with httpx.stream("GET", f"{url}/preview", timeout=PATIENCE) as preview:
        check(any(b"\xff\xd8" in part for part in preview.iter_raw()), "the preview has no picture")
    return "the camera is live, and its preview has pictures"


def is_published(project: Project) -> str:
    """Play the overlay by RTSP, as a viewer would."""
    address = f"rtsp://127.0.0.1:{project.settings['MASTREAM_CAMERA_PORT']}/overlay"
    until(lambda: plays(address), lambda: f"{address} has no {FRAMES} pictures")
    return f"{FRAMES} pictures of the overlay by RTSP"


def plays(address: str) -> bool:
    try:
        with av.open(address, options={"rtsp_transport": "tcp"}, timeout=10) as overlay:
            pictures = overlay.decode(video=0)
            return all(next(pictures).width > 0 for _ in range(FRAMES))
    except (av.FFmpegError, StopIteration):
        return False
