"""Sealed text can be read only with the same secret."""

from __future__ import annotations

from server.security.sealing import Seal


def test_a_text_comes_back_with_the_same_secret_only() -> None:
    seal = Seal(lambda: b"a" * 64)
    sealed = seal.close("rtsp://user:pässword@host/")
    assert "ssword" not in sealed and sealed.isascii()
    assert seal.close("rtsp://user:pässword@host/") != sealed
    assert Seal(lambda: b"a" * 64).open(sealed) == "rtsp://user:pässword@host/"
    assert Seal(lambda: b"b" * 64).open(sealed) is None


def test_what_was_changed_is_not_read() -> None:
    seal = Seal(lambda: b"a" * 64)
    sealed = seal.close("text")
    for damaged in ("", "x", sealed[:-4], sealed[:30] + "AAAA" + sealed[34:]):
        assert seal.open(damaged) is None


def test_the_secret_is_read_only_when_it_is_needed() -> None:
    asked: list[bytes] = []

    def secret() -> bytes:
        asked.append(b"a")
        return b"a" * 64

    seal = Seal(secret)
    assert not asked and "aaa" not in repr(seal)
    seal.close("x")
    seal.close("y")
    assert len(asked) == 1
