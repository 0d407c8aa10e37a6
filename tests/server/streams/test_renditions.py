"""What viewers get of a mask: made once for all who ask, in each form."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest

import protocol
from protocol import MaskEncoding, MaskSize
from server.engines.fake import fake_spec
from server.frame import Frame, Mask
from server.streams import renditions as renditions_module
from server.streams.mask_packer import MaskPacker
from server.streams.renditions import PictureForm, Renditions, form_of
from server.threads import PicturePool

pytestmark = pytest.mark.anyio
SPEC = fake_spec(16, 32)


def mask(seq: int) -> Mask:
    pixels = np.full((16, 32, 3), 200, np.uint8)
    frame = Frame(pixels, seq, pts=Fraction(seq), size=(32, 64))
    return Mask(np.full((16, 32), seq % 11, np.uint8), frame)


@pytest.fixture
def renditions() -> Iterator[Renditions]:
    pool = PicturePool(2)
    yield Renditions(pool, SPEC)
    pool.close()


async def test_a_message_is_packed_once_for_all_who_ask(
    renditions: Renditions, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed: list[int] = []

    class Counting(MaskPacker):
        def pack(self, mask: Mask) -> bytes:  # type: ignore[override]
            packed.append(mask.frame.seq)
            return super().pack(mask)

    monkeypatch.setattr(renditions_module, "MaskPacker", Counting)
    raw = protocol.Open(output=MaskEncoding.RAW, size=MaskSize.MODEL)
    asked = [renditions.message(mask(7), raw) for _ in range(100)]
    messages = await asyncio.gather(*asked)
    assert packed == [7] and len(set(messages)) == 1
    header, payload = protocol.unpack_mask(messages[0], 10**6)
    assert header.seq == 7
    assert np.array_equal(np.frombuffer(payload, np.uint8), mask(7).labels.ravel())
    await renditions.message(mask(7), protocol.Open())
    assert packed == [7, 7], "another form"


async def test_one_who_gives_up_waiting_takes_nothing_from_the_others(
    renditions: Renditions,
) -> None:
    form = PictureForm()
    leaving = asyncio.ensure_future(renditions.picture(mask(1), form))
    staying = asyncio.ensure_future(renditions.picture(mask(1), form))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).startswith(b"\xff\xd8")


@pytest.mark.parametrize("form", [PictureForm(overlay=False), PictureForm(opacity=0)])
async def test_a_picture_without_paint_is_the_picture(
    renditions: Renditions, form: PictureForm
) -> None:
    jpeg = np.frombuffer(await renditions.picture(mask(1), form), np.uint8)
    picture = cv2.imdecode(jpeg, cv2.IMREAD_COLOR_RGB)
    assert picture is not None and abs(int(picture.mean()) - 200) <= 1


async def test_a_picture_is_painted_over_the_whole_one_if_it_is_kept(
    renditions: Renditions,
) -> None:
    whole = np.zeros((32, 64, 3), np.uint8)
    one = mask(1)
    kept = replace(one, frame=replace(one.frame, original=whole))
    jpeg = np.frombuffer(await renditions.picture(kept, PictureForm(opacity=1.0)), np.uint8)
    picture = cv2.imdecode(jpeg, cv2.IMREAD_COLOR_RGB)
    assert picture is not None and picture.shape == (32, 64, 3)
    assert np.abs(picture.mean((0, 1)) - SPEC.classes[1].colour).max() < 3


def test_only_the_form_of_an_open_counts() -> None:
    wish = protocol.Open(output=MaskEncoding.RLE, overlay=True, opacity=0.0, budget_ms=5)
    assert form_of(wish) == protocol.Open(output=MaskEncoding.RLE, overlay=True, opacity=0.0)


async def test_a_note_is_written_below_the_picture(renditions: Renditions) -> None:
    forms = [PictureForm(), PictureForm(note="12 s old")]
    jpegs = [await renditions.picture(mask(1), form) for form in forms]
    plain, noted = (cv2.imdecode(np.frombuffer(one, np.uint8), 1).astype(int) for one in jpegs)
    assert noted.shape == plain.shape
    assert np.abs(noted[-8:] - plain[-8:]).mean() > 40
