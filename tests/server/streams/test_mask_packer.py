"""MaskPacker: the content of a mask's message for every request."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

import protocol
from protocol import MaskEncoding, MaskSize, Open
from server.engines.fake import fake_spec
from server.frame import Frame, Mask, ResetCause
from server.sinks.areas import areas
from server.streams.mask_packer import MaskPacker

SPEC = fake_spec(32, 48)
LABELS = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3), np.ones((16, 16), np.uint8))
TIMES = protocol.StageTimes(wait=1, decode=2, queue=3, step=4)


def mask(original: bool = False) -> Mask:
    pixels = np.full((32, 48, 3), 100, np.uint8)
    whole = np.full((64, 96, 3), 100, np.uint8) if original else None
    frame = Frame(pixels, 9, pts=Fraction(3, 2), size=(64, 96), original=whole)
    return Mask(LABELS, frame, 2, ResetCause.CLIENT, 3, TIMES)


def packed(wish: Open, one: Mask) -> tuple[protocol.MaskHeader, bytes, bytes]:
    message = MaskPacker(SPEC, wish).pack(one, clock=iter((5.0, 5.0125)).__next__)
    header, payload = protocol.unpack(message, len(message))
    read = protocol.MaskHeader.from_dict(header)
    return read, *protocol.split_overlay(read, payload)


@pytest.mark.parametrize("encoding", ["png", "rle", "raw"])
def test_a_mask_comes_back_as_it_was(encoding: str) -> None:
    header, payload, _ = packed(Open(output=MaskEncoding(encoding), size=MaskSize.MODEL), mask())
    found = protocol.decode_mask(payload, header.encoding, header.width, header.height)
    assert np.array_equal(found, LABELS)


def test_the_header_reports_where_the_mask_comes_from() -> None:
    header, _, overlay = packed(Open(size=MaskSize.MODEL), mask())
    assert (header.seq, header.pts, header.batch, overlay) == (9, 1.5, 3, b"")
    assert header.memory == protocol.MaskMemory(2, "client")
    assert header.ms == protocol.StageTimes(1.0, 2.0, 3.0, 4.0, 12.5)


def test_a_mask_of_the_input_size_repeats_the_nearest_labels() -> None:
    header, payload, _ = packed(Open(output=MaskEncoding.RAW), mask())
    assert (header.height, header.width) == (64, 96)
    assert np.array_equal(
        protocol.decode_mask(payload, "raw", 96, 64), LABELS.repeat(2, axis=0).repeat(2, axis=1)
    )


@pytest.mark.parametrize(("size", "shape"), [("input", (64, 96, 3)), ("model", (32, 48, 3))])
def test_an_overlay_is_drawn_on_the_picture_of_the_mask_size(
    size: str, shape: tuple[int, int, int]
) -> None:
    wish = Open(output=MaskEncoding.NONE, size=MaskSize(size), overlay=True)
    header, payload, overlay = packed(wish, mask(original=True))
    picture = cv2.imdecode(np.frombuffer(overlay, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert payload == b"" and header.encoding is MaskEncoding.NONE
    assert picture.shape == shape
    sky = (np.array(SPEC.classes[0].colour) + 100) / 2
    assert picture[2, 2] == pytest.approx(sky, abs=6)


@pytest.mark.parametrize(("opacity", "share"), [(None, 0.5), (0.0, 0.0), (0.25, 0.25), (1.0, 1.0)])
def test_an_overlay_has_the_requested_opacity(opacity: float | None, share: float) -> None:
    wish = Open(output=MaskEncoding.NONE, overlay=True, opacity=opacity)
    _, _, overlay = packed(wish, mask(original=True))
    picture = cv2.imdecode(np.frombuffer(overlay, np.uint8), cv2.IMREAD_COLOR_RGB)
    sky = np.array(SPEC.classes[0].colour) * share + 100 * (1 - share)
    assert picture is not None and picture[2, 2] == pytest.approx(sky, abs=6)


def test_areas_are_shares_of_all_classes() -> None:
    names = [one.name for one in SPEC.classes]
    found = areas(LABELS, names)
    assert list(found) == names
    assert [found[name] for name in names[:6]] == pytest.approx([1 / 6] * 6, abs=1e-6)
    assert sum(found.values()) == pytest.approx(1, abs=1e-5) and found[names[6]] == 0


def test_what_is_more_work_costs_more() -> None:
    wishes = (
        Open(output=MaskEncoding.RAW, size=MaskSize.MODEL),
        Open(output=MaskEncoding.RAW, size=MaskSize.INPUT),
        Open(output=MaskEncoding.PNG, size=MaskSize.INPUT),
        Open(output=MaskEncoding.PNG, size=MaskSize.INPUT, overlay=True),
    )
    costs = [MaskPacker(SPEC, wish).cost(mask()) for wish in wishes]
    assert costs == sorted(costs) and costs[0] < costs[-1]
