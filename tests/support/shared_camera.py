"""Many cameras for little more CPU than one: every mount sends the pictures of one encoder.

    /usr/bin/python3 shared_camera.py '{"mounts": 8, "fps": 25}'

So a server can be measured on the machine that the cameras run on. Each mount sends a picture a
little later than the mount before it, evenly spread over the period between two pictures, so that
they do not all send at the same moment. When it listens it prints its port; it ends when its stdin
is closed. The pictures, which show a clock, and the options are those of ``rtsp_camera``.
"""

from __future__ import annotations

import json
import sched
import sys
import threading
import time
from typing import Any

import clock_picture
from rtsp_camera import GLib, Gst, Options, serve

PACKETS = "video/x-h264,stream-format=byte-stream,alignment=au"


def encoder(options: Options) -> str:
    """Return the description of the pipeline from pictures to packets, with a key frame every
    ``gop`` pictures."""
    return (
        "appsrc name=pictures is-live=true do-timestamp=true format=time "
        f"caps=video/x-raw,format=I420,width={options.width},height={options.height},"
        f"framerate={options.fps}/1 ! x264enc speed-preset=ultrafast threads=1 bitrate=1500 "
        f"tune=zerolatency key-int-max={options.gop} ! h264parse config-interval=-1 "
        f"! {PACKETS} ! appsink name=packets sync=false"
    )


MOUNT = (
    f"( appsrc name=packets is-live=true do-timestamp=true format=time caps={PACKETS} "
    "! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)


class SharedCamera:
    """Encodes one picture at a time, and sends its packet at every mount that somebody watches."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._mounts: dict[int, Any] = {}
        self._pipeline = Gst.parse_launch(encoder(options))
        self._pictures = self._pipeline.get_by_name("pictures")
        self._packets = self._pipeline.get_by_name("packets")
        self._plan = sched.scheduler(time.monotonic, time.sleep)
        self._pipeline.set_state(Gst.State.PLAYING)

    def configure(self, number: int, media: Any) -> None:
        """A mount begins: somebody watches it."""
        self._mounts[number] = media.get_element().get_by_name("packets")
        media.connect("unprepared", lambda _: self._mounts.pop(number, None))

    def run(self) -> None:
        """Take pictures forever; one mount after the other sends each of them."""
        began, number = time.monotonic(), 0
        while True:
            number += 1
            due = began + number / self._options.fps
            self._plan.enterabs(due, 0, self._take, (number, due))
            self._plan.run()

    def _take(self, number: int, due: float) -> None:
        size = self._options.width, self._options.height
        picture = clock_picture.paint(number, time.time(), *size)
        self._pictures.emit("push-buffer", Gst.Buffer.new_wrapped(picture))
        packet = self._packets.emit("pull-sample").get_buffer()
        for mount in range(self._options.mounts):
            later = mount / self._options.mounts / self._options.fps
            self._plan.enterabs(due + later, 0, self._send, (mount, packet))

    def _send(self, mount: int, packet: Any) -> None:
        source = self._mounts.get(mount)
        # One that is pushed earlier is stamped before its clock has begun, and holds up all.
        if source and source.get_state(0).state == Gst.State.PLAYING and source.get_base_time():
            own = packet.copy()
            own.pts = own.dts = Gst.CLOCK_TIME_NONE
            source.emit("push-buffer", own)


def main() -> None:
    options = Options(**json.loads(sys.argv[1]))
    Gst.init(None)
    loop, camera = GLib.MainLoop(), SharedCamera(options)
    server = serve(options, MOUNT, camera.configure)
    threading.Thread(target=camera.run, daemon=True).start()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True).start()
    print(server.get_bound_port(), flush=True)
    loop.run()


if __name__ == "__main__":
    main()
