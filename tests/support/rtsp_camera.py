"""A camera: GStreamer's RTSP server, run by the system's Python, with pictures of clock_picture.

    /usr/bin/python3 rtsp_camera.py '{"codec": "h264", "fps": 25}'

Its options, as one JSON object, are the fields of ``Options``. When it listens it prints one line,
its port. Then it carries out lines of JSON on stdin, until that is closed: ``{"freeze": true}``
sends nothing more but keeps every connection, ``{"size": [320, 240]}`` changes the picture's size
in mid-stream, ``{"keyless": true}`` sends no more key frames. Each is answered by a line "done".
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import clock_picture
import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402 - versions come first

DELTA = Gst.BufferFlags.DELTA_UNIT


@dataclass
class Options:
    """``auth`` is "", "basic" or "digest"; ``bframes`` between two others; a key frame comes every
    ``gop`` pictures, and not at all if ``keyless``. The mounts are /cam0, /cam1, ..."""

    port: int = 0
    codec: str = "h264"
    width: int = 320
    height: int = 240
    fps: int = 25
    bframes: int = 0
    gop: int = 25
    keyless: bool = False
    mounts: int = 1
    auth: str = ""
    user: str = "user"
    password: str = "secret"
    certificate: str = ""


def pipeline(options: Options) -> str:
    """Return the description of one mount's pipeline."""
    encode = {
        "h264": (
            f"x264enc name=encoder speed-preset=ultrafast threads=1 bitrate=1500 b-adapt=false "
            f"key-int-max={options.gop} bframes={options.bframes} "
            + ("! video/x-h264,profile=main " if options.bframes else "tune=zerolatency ")
            + "! h264parse config-interval=-1 ! video/x-h264,stream-format=avc,alignment=au "
            "! identity name=tap ! rtph264pay name=pay0 pt=96 config-interval=-1"
        ),
        "hevc": (
            f"x265enc name=encoder speed-preset=ultrafast tune=zerolatency bitrate=1500 "
            f"key-int-max={options.gop} option-string=pools=1:frame-threads=1:log-level=none "
            "! h265parse config-interval=-1 ! video/x-h265,stream-format=hvc1,alignment=au "
            "! identity name=tap ! rtph265pay name=pay0 pt=96 config-interval=-1"
        ),
        "mjpeg": "jpegenc quality=90 ! identity name=tap ! rtpjpegpay name=pay0 pt=26",
    }[options.codec]
    return f"( appsrc name=pictures is-live=true do-timestamp=true format=time ! {encode} )"


class Camera:
    """Paints one picture at a time and pushes it into every mount that somebody watches."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.frozen = False
        self.size = options.width, options.height
        self._lock = threading.Lock()
        self._watched: dict[Any, tuple[int, int]] = {}

    def configure(self, _: int, media: Any) -> None:
        """A mount begins: somebody watches it."""
        element = media.get_element()
        pictures = element.get_by_name("pictures")
        pad = element.get_by_name("tap").get_static_pad("src")
        pad.add_probe(Gst.PadProbeType.BUFFER, self._pass)
        with self._lock:
            self._show(pictures, self.size)
        media.connect("unprepared", lambda _: self._forget(pictures))

    def run(self) -> None:
        """Take pictures forever, ``fps`` per second."""
        due, number = time.monotonic(), 0
        while True:
            due += 1 / self.options.fps
            time.sleep(max(0.0, due - time.monotonic()))
            number += 1
            if not self.frozen:
                self._push(number)

    def _push(self, number: int) -> None:
        with self._lock:
            watched = dict(self._watched)
            size = self.size
        if not watched:
            return
        picture = clock_picture.paint(number, time.time(), *size)
        for pictures, shown in watched.items():
            if shown != size:
                with self._lock:
                    self._show(pictures, size)
            # One that is pushed earlier is stamped before its clock has begun, and holds up all.
            if pictures.get_state(0).state == Gst.State.PLAYING and pictures.get_base_time():
                pictures.emit("push-buffer", Gst.Buffer.new_wrapped(picture))

    def _show(self, pictures: Any, size: tuple[int, int]) -> None:
        caps = f"video/x-raw,format=I420,width={size[0]},height={size[1]}"
        pictures.set_property(
            "caps", Gst.Caps.from_string(f"{caps},framerate={self.options.fps}/1")
        )
        self._watched[pictures] = size

    def _forget(self, pictures: Any) -> None:
        with self._lock:
            self._watched.pop(pictures, None)

    def _pass(self, _: Any, info: Any) -> Any:
        key = not info.get_buffer().has_flags(DELTA)
        drop = self.options.keyless and key
        return Gst.PadProbeReturn.DROP if drop else Gst.PadProbeReturn.OK


def guard(server: Any, factory: Any, options: Options) -> None:
    """Let only ``user`` with ``password`` watch."""
    auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if options.auth == "basic":
        basic = GstRtspServer.RTSPAuth.make_basic(options.user, options.password)
        auth.add_basic(basic, token)
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
    else:
        auth.add_digest(options.user, options.password, token)
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    if options.certificate:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(options.certificate))
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)
    server.set_auth(auth)


def obey(camera: Camera, loop: Any) -> None:
    """Carry out the commands on stdin until it ends."""
    for line in sys.stdin:
        for what, value in json.loads(line).items():
            if what == "freeze":
                camera.frozen = value
            elif what == "size":
                camera.size = tuple(value)
            elif what == "keyless":
                camera.options.keyless = value
        print("done", flush=True)
    loop.quit()


def serve(options: Options, launch: str, configure: Callable[[int, Any], None]) -> Any:
    """Start to serve the mounts, each with the pipeline that ``launch`` describes; return the
    server.

    ``configure`` is called with a mount's number and its media when somebody watches it.
    """
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(options.port))
    for mount in range(options.mounts):
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(launch)
        factory.set_shared(True)
        factory.set_latency(0)
        factory.connect("media-configure", lambda _, media, n=mount: configure(n, media))
        if options.auth:
            guard(server, factory, options)
        server.get_mount_points().add_factory(f"/cam{mount}", factory)
    assert server.attach(None), "the port is taken"
    return server


def main() -> None:
    options = Options(**json.loads(sys.argv[1]))
    Gst.init(None)
    loop, camera = GLib.MainLoop(), Camera(options)
    server = serve(options, pipeline(options), camera.configure)
    threading.Thread(target=camera.run, daemon=True).start()
    threading.Thread(target=obey, args=(camera, loop), daemon=True).start()
    print(server.get_bound_port(), flush=True)
    loop.run()


if __name__ == "__main__":
    main()
