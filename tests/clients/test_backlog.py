"""The frames that are sent again after a connection was lost."""

from __future__ import annotations

import pytest

from clients.python.backlog import Backlog
from protocol import DropCause, FrameHeader, unpack_frame


def filled(horizon: int | None, frames: int, resets: tuple[int, ...] = ()) -> Backlog:
    backlog = Backlog(horizon)
    for seq in range(frames):
        backlog.add(FrameHeader(seq, seq / 10, seq in resets), b"%d" % seq)
    return backlog


def headers(messages: list[bytes]) -> list[dict[str, object]]:
    found = []
    for message in messages:
        header, data = unpack_frame(message, 1000)
        assert data == b"%d" % (header.seq or 0)
        found.append({key: value for key, value in header.to_dict().items() if key != "pts"})
    return found


def test_frames_without_an_answer_are_sent_again_as_they_were() -> None:
    backlog = filled(2, 3, resets=(1,))
    backlog.mask(0, reset=True)
    assert headers(backlog.unanswered()) == [{"seq": 1, "reset": True}, {"seq": 2}]
    assert repr(backlog) == "<Backlog 2 waiting, 1 past>"


@pytest.mark.parametrize(
    ("horizon", "masks", "past"), [(2, 4, [2, 3]), (2, 1, [0]), (0, 4, []), (None, 4, [])]
)
def test_the_last_frames_of_the_memory_are_replayed(
    horizon: int | None, masks: int, past: list[int]
) -> None:
    backlog = filled(horizon, 5)
    for seq in range(masks):
        backlog.mask(seq, reset=seq == 0)
    assert headers(backlog.replay()) == [{"seq": seq, "replay": True} for seq in past]
    assert backlog.can_rebuild == (horizon is not None)


def test_what_was_before_a_reset_is_not_replayed() -> None:
    backlog = filled(3, 4, resets=(2,))
    for seq in range(4):
        backlog.mask(seq, reset=seq in (0, 2))
    assert headers(backlog.replay()) == [{"seq": 2, "replay": True}, {"seq": 3, "replay": True}]


@pytest.mark.parametrize("cause", [c for c in DropCause if c != DropCause.CLIENT_SLOW])
def test_a_dropped_frame_never_reached_the_memory_and_hands_its_reset_on(cause: DropCause) -> None:
    backlog = filled(2, 3, resets=(1,))
    backlog.mask(0, reset=True)
    backlog.drop([1], cause)
    assert headers(backlog.replay()) == [{"seq": 0, "replay": True}]
    assert headers(backlog.unanswered()) == [{"seq": 2, "reset": True}]


def test_a_reset_of_the_last_frame_goes_to_the_next_one_added() -> None:
    backlog = filled(2, 1, resets=(0,))
    backlog.fail(0)
    assert backlog.add(FrameHeader(1), b"1") == FrameHeader(1, reset=True)
    assert backlog.add(FrameHeader(2), b"2") == FrameHeader(2)


def test_a_frame_whose_mask_alone_was_lost_is_in_the_memory() -> None:
    backlog = filled(2, 3, resets=(1,))
    backlog.mask(0, reset=True)
    backlog.drop([1], DropCause.CLIENT_SLOW)
    assert headers(backlog.replay()) == [{"seq": 1, "replay": True}]
    assert headers(backlog.unanswered()) == [{"seq": 2}]


def test_answers_to_unknown_frames_change_nothing() -> None:
    backlog = filled(2, 1)
    backlog.mask(7, reset=False)
    backlog.drop([8], DropCause.CLIENT_SLOW)
    backlog.fail(9)
    assert headers(backlog.unanswered()) == [{"seq": 0}]
    assert backlog.replay() == []
