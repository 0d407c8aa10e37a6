"""A definition is stored without its passwords, and read with them."""

from __future__ import annotations

import pytest

from server.database.sealed_addresses import SEALED, sealed, unsealed
from server.security.sealing import Seal

SEAL = Seal(lambda: b"a" * 64)
CAMERA = {"name": "cam", "url": "rtsp://user:hidden@host:554/x?token=hidden", "publish": None}


@pytest.mark.parametrize(
    "definition",
    [
        CAMERA,
        CAMERA | {"url": "rtsp://host/x", "publish": "rtsp://hidden@other/x"},
        CAMERA | {"publish": "rtsp://user:hidden@other/x"},
    ],
)
def test_it_comes_back_and_hides_what_is_secret(definition: dict[str, str]) -> None:
    stored = sealed(definition, SEAL)
    assert "hidden" not in str(stored)
    assert unsealed(stored, SEAL) == (definition, True)
    shown, is_whole = unsealed(stored, Seal(lambda: b"b" * 64))
    assert not is_whole and shown["name"] == "cam" and "hidden" not in str(shown)
    assert SEALED not in shown and str(shown["url"]).startswith("rtsp://host")


def test_what_has_no_secret_is_stored_as_it_is() -> None:
    plain = {"name": "cam", "url": "rtsp://host/x", "publish": None, "max_fps": 5}
    assert sealed(plain, SEAL) == plain
    assert unsealed(plain, SEAL) == (plain, True)


def test_rows_from_before_are_read() -> None:
    assert unsealed(CAMERA, SEAL) == (CAMERA, True)
