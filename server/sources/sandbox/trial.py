"""Trying the sandbox before anything needs it: a short video is decoded in it.

A filter that does not fit the machine, such as one whose libraries make other calls, would
otherwise fail every video with the advice to check the file.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame

from server.errors import Fault, MastreamError
from server.sources.decoding import Reading
from server.sources.sandbox.decoder import Sandbox, sandboxed_frames
from server.sources.sandbox.seccomp import check_machine

FRAMES = 4
SIDE = 64


def check_sandbox(sandbox: Sandbox) -> None:
    """Raise Fault if this machine supports no sandbox, or if no video can be decoded in it."""
    check_machine()
    descriptor = os.memfd_create("trial", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_video())
        file.flush()
        reading = Reading(
            location=Path(f"/proc/self/fd/{descriptor}"),
            height=SIDE,
            width=SIDE,
            keep_original=True,
            start=None,
            max_pixels=2**20,
            timeout=None,
            threads=2,
        )
        try:
            decoded = sum(1 for _ in sandboxed_frames(sandbox, reading))
        except MastreamError as error:
            raise _unfit(str(error)) from error
    if decoded != FRAMES:
        raise _unfit(f"{decoded} of {FRAMES} pictures were decoded.")


def _unfit(why: str) -> Fault:
    return Fault(
        f"A video cannot be decoded in a sandbox on this machine: set MASTREAM_DECODE__SANDBOX to "
        f"false, and report the machine and this reason. {why}"
    )


def _video() -> bytes:
    """Return a video that makes decoders use several threads."""
    made = io.BytesIO()
    with av.open(made, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for number in range(FRAMES):
            grey = np.full((SIDE, SIDE, 3), 60 * number, np.uint8)
            container.mux(stream.encode(VideoFrame.from_ndarray(grey, "rgb24")))
        container.mux(stream.encode(None))
    return made.getvalue()
