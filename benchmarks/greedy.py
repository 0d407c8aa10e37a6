"""A client that sends pictures from many sockets as fast as a server takes them.

    python -m benchmarks.greedy ws://127.0.0.1:8000 [--sockets 12] [--side 1600] [--policy latest]

It needs little CPU itself, so that measurements next to it show the server's load: each socket
repeats one message that was packed beforehand, and the answers are discarded unread.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
from argparse import ArgumentParser
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import cv2
import numpy as np
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

import protocol

ADDRESS = "127.0.0.2"
"""Its own address, by which the server distinguishes it from others."""

READ_BYTES = 2**20
GENTLE = 10
"""Its niceness, since a client on another machine would not use the server's cores."""


@dataclass(slots=True)
class Flood:
    """One socket that sends the same message repeatedly. Mutable state: the rest of the message."""

    socket: socket.socket
    message: memoryview
    left: memoryview

    def send(self) -> int:
        """Send as much as the socket accepts now; return the number of bytes."""
        taken = self.socket.send(self.left)
        self.left = self.left[taken:] or self.message
        return taken


def jpeg(width: int, height: int) -> bytes:
    """Return a JPEG of coloured blocks, which is large for its size."""
    noise = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    done, data = cv2.imencode(".jpg", np.kron(noise, np.ones((8, 8, 1), np.uint8)))
    assert done
    return data.tobytes()


def connected(url: str, policy: str) -> socket.socket:
    """Return a socket on which a stream was opened. Raises OSError or a handshake's error."""
    place = urlsplit(url)
    made = socket.create_connection((place.hostname, place.port), source_address=(ADDRESS, 0))
    conn = ClientProtocol(parse_uri(f"{url}/v1/stream"))
    conn.send_request(conn.connect())
    made.sendall(b"".join(conn.data_to_send()))
    while conn.state.name == "CONNECTING":
        conn.receive_data(made.recv(READ_BYTES))
        if conn.handshake_exc is not None:
            raise conn.handshake_exc
    wish = {"type": "open", "output": "none", "size": "model", "policy": policy}
    conn.send_text(json.dumps(wish).encode())
    made.sendall(b"".join(conn.data_to_send()))
    made.setblocking(False)
    return made


def flood(url: str, sockets: int, picture: bytes, policy: str) -> None:
    """Send until the server has closed every socket, or the process is ended."""
    # A mask of zeros leaves the bytes as they are; without a seq the server numbers the frames.
    message = memoryview(_unmasked(protocol.pack(protocol.FrameHeader(), picture)))
    with selectors.DefaultSelector() as ready:
        for _ in range(sockets):
            made = connected(url, policy)
            both = selectors.EVENT_READ | selectors.EVENT_WRITE
            ready.register(made, both, Flood(made, message, message))
        print("begun", flush=True)
        while ready.get_map():
            for key, events in ready.select():
                one: Flood = key.data
                try:
                    if events & selectors.EVENT_READ and not one.socket.recv(READ_BYTES):
                        raise ConnectionResetError
                    if events & selectors.EVENT_WRITE:
                        one.send()
                except BlockingIOError:
                    continue
                except OSError:
                    ready.unregister(one.socket)
                    one.socket.close()


def _unmasked(payload: bytes) -> bytes:
    frame = Frame(Opcode.BINARY, payload).serialize(mask=True)
    head = len(frame) - len(payload) - 4
    return frame[:head] + bytes(4) + payload


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.greedy", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--sockets", type=int, default=12)
    parser.add_argument("--side", type=int, default=1600)
    parser.add_argument("--policy", default="latest")
    flags = parser.parse_args()
    with suppress(OSError):
        os.nice(GENTLE)
    flood(flags.url, flags.sockets, jpeg(flags.side, flags.side), flags.policy)


if __name__ == "__main__":
    main()
