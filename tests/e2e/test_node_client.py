"""A client in another language, written from protocol/README.md alone, agrees with us."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import clients
import protocol
from protocol import vectors

NODE = shutil.which("node")
FOLDER = Path(__file__).with_name("node")
PAGE = Path(clients.__file__).parent / "browser"
SETTINGS = {
    "engine__fake_step_ms": "50",
    "streams__window": "4",
    "streams__max_sessions": "3",
    "streams__max_pixels": "4000000",
    "streams__max_message_bytes": "2000000",
    "streams__idle_seconds": "1",
    "streams__slow_seconds": "3",
}

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed: apt install nodejs")


def run(script: str, *arguments: str) -> list[str]:
    """Return the lines that a script prints; its errors become the test's message."""
    command = [NODE or "node", str(FOLDER / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def pictures() -> dict[str, bytes]:
    street = cv2.resize(np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8), (48, 32))
    found = {kind: cv2.imencode(f".{kind}", street)[1].tobytes() for kind in ("png", "webp")}
    return found | {
        "jpeg": cv2.imencode(".jpg", street)[1].tobytes(),
        "turned": turned(Image.fromarray(street)),
        "large": cv2.imencode(".jpg", np.zeros((1990, 2000, 3), np.uint8))[1].tobytes(),
        "huge": cv2.imencode(".png", np.zeros((2000, 2001), np.uint8))[1].tobytes(),
    }


def turned(picture: Image.Image) -> bytes:
    """A JPEG that is to be shown turned by 90 degrees."""
    exif = Image.Exif()
    exif[0x112] = 6
    file = BytesIO()
    picture.save(file, "JPEG", exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("client", [FOLDER / "client.mjs", PAGE / "wire.js"])
def test_the_vectors_pass_in_another_language(client: Path) -> None:
    (line,) = run("run_vectors.mjs", str(Path(protocol.__file__).parent), str(client))
    golden = json.loads(vectors.PATH.read_text())
    del golden["about"]
    assert json.loads(line) == {group: len(cases) for group, cases in golden.items()}


def test_a_conversation_in_another_language(
    run_server: Callable[..., AbstractContextManager[Any]], tmp_path: Path
) -> None:
    file = tmp_path / "pictures.json"
    encoded = {name: base64.b64encode(data).decode() for name, data in pictures().items()}
    file.write_text(json.dumps(encoded))
    with run_server(**SETTINGS) as server:
        rows = run("conversation.mjs", server.ws, str(file), str(server.process.pid))
        assert rows[-1].startswith("going_away")
        assert server.process.wait(30) == 0
