"""The protocol page names everything that a message can hold, and its examples are right."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import protocol
from protocol import (
    ClientMessage,
    CloseCode,
    FrameHeader,
    MaskHeader,
    ServerMessage,
    StageTimes,
    unpack_frame,
    unpack_mask,
)
from protocol.opening import Model
from protocol.words import (
    DropCause,
    DropPolicy,
    InputEncoding,
    MaskEncoding,
    MaskSize,
    MemoryState,
)
from server import errors
from server.errors import MastreamError
from server.frame import ResetCause
from server.settings import StreamSettings

PAGE = (Path(protocol.__file__).parent / "README.md").read_text()
MESSAGES = (*get_args(ClientMessage), *get_args(ServerMessage), FrameHeader, MaskHeader)
WORDS = (InputEncoding, MaskEncoding, MaskSize, DropPolicy, DropCause, MemoryState, ResetCause)
ERRORS = {e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, MastreamError)}


def each_name() -> Iterator[str]:
    for message in (*MESSAGES, StageTimes, Model):
        tag = message.__struct_config__.tag
        yield from ([str(tag)] if tag else [])
        yield from message.__struct_fields__
    for words in WORDS:
        yield from words
    yield from (error.code for error in ERRORS - {MastreamError})


@pytest.mark.parametrize("name", sorted(set(each_name())))
def test_every_field_word_and_code_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("code", CloseCode)
def test_every_close_code_is_on_the_page(code: CloseCode) -> None:
    assert re.search(rf"^\|[ 0-9]*\b{code}\b", PAGE, re.M)


def test_the_defaults_on_the_page_are_those_of_the_settings() -> None:
    settings = StreamSettings()
    assert f"| nothing is received after connecting | {settings.open_seconds:g} |" in PAGE
    assert f"no frame is unanswered | {settings.idle_seconds:g} |" in PAGE
    assert f"one send makes no progress | {settings.slow_seconds:g} |" in PAGE
    assert f"| the socket of a session is lost | {settings.resume_seconds:g} |" in PAGE
    assert f"{settings.outbox} masks wait at most" in PAGE


def test_the_frame_of_the_example() -> None:
    dump = re.search(r"The bytes of this frame.*?\n\n(.*?)\n\n", PAGE, re.S)
    assert dump
    data = bytes.fromhex("".join(line[4:51] for line in dump[1].splitlines()))
    assert unpack_frame(data, 100) == (FrameHeader(7, 0.28), bytes(range(12)))


def test_the_mask_of_the_example() -> None:
    found = re.search(r"    (d7 00 00 00)\n((?:    .*\n)+?)    (00 01 00 01)\n", PAGE)
    assert found
    header = found[2].replace("\n    ", "").strip().encode()
    data = bytes.fromhex(found[1]) + header + bytes.fromhex(found[3])
    mask, payload = unpack_mask(data, 1000)
    assert (mask.seq, mask.width, mask.height, payload) == (7, 2, 2, b"\0\1\0\1")


def test_the_run_lengths_of_the_example() -> None:
    found = re.search(r"right column class 1: `(.*?)`", PAGE)
    assert found
    labels = protocol.decode_mask(found[1].encode(), "rle", 2, 4)
    assert labels.tolist() == [[0, 1]] * 4
