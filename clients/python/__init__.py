"""The Python client.

    async with connect("http://localhost:8000") as stream:
        async for mask in stream.segment(frames):
            print(mask.seq, mask.labels.shape)

``frames`` is an iterable or async iterable of encoded pictures (bytes), RGB arrays
(H, W, 3) uint8, or :class:`Frame` to add a timestamp or a reset. :class:`Videos` handles uploaded
videos, :class:`Cameras` the streams that the server pulls itself, ``cli`` the command line. Users
import all of this from ``mastream``.
"""

from clients.python.camera import Camera, CameraEvent
from clients.python.cameras import Cameras
from clients.python.client import connect
from clients.python.errors import (
    BadFootage,
    BadOutput,
    ClientError,
    Denied,
    GoneAway,
    NoCapacity,
    NotFound,
    NotOurs,
    Refused,
    ServerFault,
    TakenOver,
    TooLarge,
    TooSlow,
    Unreachable,
    VideoFailed,
)
from clients.python.ledger import Ledger
from clients.python.mask import Mask
from clients.python.pictures import Frame
from clients.python.reconnecting import Backoff, Lost, Resumed
from clients.python.stream import Stream
from clients.python.video import Video
from clients.python.videos import Videos
from clients.python.viewing import Returned

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
    "connect",
]
