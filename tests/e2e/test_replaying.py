"""A recording of a real server, replayed by the command that users run."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from websockets.sync.client import connect

import protocol
from server.errors import BadRecording, NotFound
from server.recordings.recording_file import MAGIC, Block, encode, read
from server.recordings.records import Masked

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[2]
RECORDING = {"streams__record": "true"}


def jpeg(number: int) -> bytes:
    picture = np.random.default_rng(number).integers(0, 256, (120, 160, 3), np.uint8)
    return cv2.imencode(".jpg", picture)[1].tobytes()


def replay(file: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "clients.python.cli", "replay", str(file), *flags],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def pushed(server: Any, frames: int) -> tuple[str, list[str]]:
    """Push frames, every third one after a reset; return the session and the masks' SHA-256."""
    hashes = []
    with connect(f"{server.ws}/v1/stream?record=1", max_size=None) as socket:
        wish = {"type": "open", "policy": "every", "output": "raw", "size": "model"}
        socket.send(json.dumps(wish))
        session = json.loads(socket.recv(60))["session"]
        for number in range(frames):
            header = {"seq": number, "reset": number % 3 == 2}
            socket.send(protocol.pack(header, jpeg(number)))
            message = socket.recv(60)
            assert isinstance(message, bytes)
            labels = protocol.unpack(message, 10**7).payload
            hashes.append(hashlib.sha256(labels).hexdigest())
        socket.send(json.dumps({"type": "end"}))
        while True:
            if json.loads(socket.recv(60))["type"] == "end":
                break
    return session, hashes


def is_written(server: Any, session: str) -> bool:
    with urllib.request.urlopen(f"{server.http}/v1/recordings", timeout=60) as answer:
        found = json.load(answer)["recordings"]
    return any(one["id"] == session and one["recording"] for one in found)


def has_a_mask(file: Path) -> bool:
    """Return whether the server has written a mask so far; the file may end anywhere."""
    with suppress(NotFound, BadRecording):
        return any(isinstance(block.record, Masked) for block in read(file))
    return False


def downloaded(server: Any, session: str, file: Path) -> Path:
    """Download a recording once it is complete."""
    while is_written(server, session):
        time.sleep(0.02)
    with urllib.request.urlopen(f"{server.http}/v1/recordings/{session}", timeout=60) as answer:
        file.write_bytes(answer.read())
    return file


def test_a_recording_is_replayed_and_a_wrong_mask_is_named(
    run_server: Callable[..., Any], tmp_path: Path
) -> None:
    with run_server(**RECORDING) as server:
        session, hashes = pushed(server, 7)
        file = downloaded(server, session, tmp_path / "one.mastream")
    blocks = list(read(file))
    masks = [block.record for block in blocks if isinstance(block.record, Masked)]
    assert [mask.mask for mask in masks] == hashes
    told = replay(file, "--engine", "fake")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.splitlines()[-1] == "all 7 masks equal"
    assert told.stdout.count("reset (client)") == 2

    assert isinstance(blocks[5].record, Masked)
    wrong = blocks[5].record.model_copy(update={"mask": "0" * 64})
    blocks[5] = Block(wrong, blocks[5].payload)
    file.write_bytes(MAGIC + b"".join(encode(*block) for block in blocks))
    told = replay(file, "--engine", "fake")
    assert told.returncode == 1
    assert "1 of 7 masks differ; the first is frame 4 (mask 4)" in told.stdout


def test_a_server_that_is_killed_leaves_its_recording(
    run_server: Callable[..., Any], tmp_path: Path
) -> None:
    with (
        run_server(**RECORDING) as server,
        connect(f"{server.ws}/v1/stream?record=1", max_size=None) as socket,
    ):
        socket.send(json.dumps({"type": "open"}))
        session = json.loads(socket.recv(60))["session"]
        socket.send(protocol.pack({}, jpeg(0)))
        socket.recv(60)
        file = tmp_path / "data" / "recordings" / f"{session}.mastream"
        while not has_a_mask(file):
            pass
        server.process.kill()
        server.process.wait()
    told = replay(file, "--engine", "fake")
    assert told.returncode == 0
    assert "not ended" in told.stdout and "all 1 masks equal" in told.stdout
