"""An RTSP server that records what is published to it, run by the system's Python.

    /usr/bin/python3 rtsp_recorder.py '{"file": "/tmp/published.mkv", "port": 0}'

Publish to /overlay; with ``password``, as "user" with basic authentication. It prints its port once
it listens, and runs until it is killed.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402 - versions come first


@dataclass
class Options:
    file: str
    port: int = 0
    password: str = ""


def pipeline(file: str) -> str:
    return (
        "( rtph264depay name=depay0 ! h264parse ! matroskamux streamable=true "
        f"! filesink buffer-mode=unbuffered location={file} )"
    )


def guard(server: Any, factory: Any, password: str) -> None:
    """Let only "user" with this password publish."""
    auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "publisher")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic("user", password), token)
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
    permissions = GstRtspServer.RTSPPermissions()
    for permission in ("access", "construct"):
        permissions.add_permission_for_role("publisher", f"media.factory.{permission}", True)
    factory.set_permissions(permissions)
    server.set_auth(auth)


def main() -> None:
    options = Options(**json.loads(sys.argv[1]))
    Gst.init(None)
    server, factory = GstRtspServer.RTSPServer(), GstRtspServer.RTSPMediaFactory()
    server.set_address("127.0.0.1")
    server.set_service(str(options.port))
    factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
    factory.set_launch(pipeline(options.file))
    factory.set_latency(0)
    if options.password:
        guard(server, factory, options.password)
    server.get_mount_points().add_factory("/overlay", factory)
    assert server.attach(None), "the port is taken"
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
