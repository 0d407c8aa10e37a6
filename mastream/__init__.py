"""mastream for its users: the Python client, its errors and the version.

    from mastream import connect

    async with connect("http://localhost:8000") as stream:
        async for mask in stream.segment(frames):
            print(mask.seq, mask.labels.shape)

``frames`` is an iterable or async iterable of encoded pictures (bytes), RGB arrays
(H, W, 3) uint8, or :class:`Frame` if a timestamp or a reset goes with it. :class:`Videos` uploads
videos and downloads their results.
"""

from importlib.metadata import version

from clients.python import (
    BadFootage,
    ClientError,
    Frame,
    GoneAway,
    Ledger,
    Mask,
    NotOurs,
    Refused,
    ServerFault,
    Stream,
    Unreachable,
    Video,
    Videos,
    connect,
)

__version__ = version("mastream")

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
    "__version__",
    "connect",
]
