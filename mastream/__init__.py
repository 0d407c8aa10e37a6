"""The public package: the Python client, its errors and the version.

    from mastream import connect

    async with connect("http://localhost:8000") as stream:
        async for mask in stream.segment(frames):
            print(mask.seq, mask.labels.shape)

``frames`` is an iterable or async iterable of encoded pictures (bytes), RGB arrays
(H, W, 3) uint8, or :class:`Frame` to add a timestamp or a reset. :class:`Videos` uploads videos and
downloads their results; :class:`Cameras` lets the server pull cameras. Every error is a
:class:`ClientError`.
"""

from importlib.metadata import version

from clients.python import (
    Backoff,
    BadFootage,
    BadOutput,
    Camera,
    CameraEvent,
    Cameras,
    ClientError,
    Denied,
    Frame,
    GoneAway,
    Ledger,
    Lost,
    Mask,
    NoCapacity,
    NotFound,
    NotOurs,
    Refused,
    Resumed,
    Returned,
    ServerFault,
    Stream,
    TakenOver,
    TooLarge,
    TooSlow,
    Unreachable,
    Video,
    VideoFailed,
    Videos,
    connect,
)

__version__ = version("mastream")

__all__ = [
    "Backoff",
    "BadFootage",
    "BadOutput",
    "Camera",
    "CameraEvent",
    "Cameras",
    "ClientError",
    "Denied",
    "Frame",
    "GoneAway",
    "Ledger",
    "Lost",
    "Mask",
    "NoCapacity",
    "NotFound",
    "NotOurs",
    "Refused",
    "Resumed",
    "Returned",
    "ServerFault",
    "Stream",
    "TakenOver",
    "TooLarge",
    "TooSlow",
    "Unreachable",
    "Video",
    "VideoFailed",
    "Videos",
    "__version__",
    "connect",
]
