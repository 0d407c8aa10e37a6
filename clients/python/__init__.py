"""The Python client.

    async with connect("http://localhost:8000") as stream:
        async for mask in stream.segment(frames):
            print(mask.seq, mask.labels.shape)

``frames`` is an iterable or async iterable of encoded pictures (bytes), RGB arrays
(H, W, 3) uint8, or :class:`Frame` where a timestamp or a reset goes with it. Uploaded videos are
the affair of :class:`Videos`, and the command line of ``cli``.
"""

from clients.python.client import connect
from clients.python.errors import (
    BadFootage,
    ClientError,
    GoneAway,
    NotOurs,
    Refused,
    ServerFault,
    Unreachable,
)
from clients.python.ledger import Ledger
from clients.python.pictures import Frame
from clients.python.stream import Mask, Stream
from clients.python.videos import Video, Videos

__all__ = [
    "BadFootage",
    "ClientError",
    "Frame",
    "GoneAway",
    "Ledger",
    "Mask",
    "NotOurs",
    "Refused",
    "ServerFault",
    "Stream",
    "Unreachable",
    "Video",
    "Videos",
    "connect",
]
