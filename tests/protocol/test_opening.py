from typing import Any

import pytest

from protocol import (
    DropPolicy,
    InputEncoding,
    Limits,
    MaskEncoding,
    MaskSize,
    MemoryState,
    Open,
    ProtocolError,
    Ready,
)

READY: dict[str, Any] = {
    "session": "s1",
    "model": {"name": "m", "classes": [{"name": "road", "colour": [1, 2, 3]}]},
    "limits": {"max_message_bytes": 1000, "max_pixels": 50},
    "window": 8,
    "resume": None,
    "memory": "new",
}


def test_open_has_a_default_for_everything() -> None:
    assert Open.from_dict({}) == Open()
    assert Open() == Open(
        InputEncoding.JPEG, None, None, MaskEncoding.PNG, MaskSize.INPUT, False, DropPolicy.LATEST
    )


def test_open_both_ways() -> None:
    given = {
        "input": "rgb24",
        "width": 4,
        "height": 3,
        "output": "rle",
        "size": "model",
        "overlay": True,
        "policy": "every",
        "budget_ms": 50.0,
        "resume": "t",
        "opacity": 0.25,
    }
    assert Open.from_dict(given).to_dict() == given


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"input": "rgb24"}, "needs 'width' and 'height'"),
        ({"input": "rgb24", "width": 4}, "needs 'width' and 'height'"),
        ({"width": 4}, "go with 'rgb24' only"),
        ({"policy": "all"}, "one of latest, every, not 'all'"),
        ({"budget_ms": 0}, "'budget_ms' must be at least 0.001, not 0"),
        ({"budget_ms": True}, "must be a number"),
        ({"opacity": -0.1}, "'opacity' must be at least 0, not -0.1"),
        ({"opacity": 2}, "'opacity' must be at most 1, not 2"),
        (
            {"input": "rgb24", "width": 70000, "height": 1},
            "'width' must be at most 65535, not 70000",
        ),
        ({"modle": "x"}, "unknown field 'modle'"),
    ],
)
def test_a_wrong_open_says_what_is_wrong(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        Open.from_dict(given)


def test_ready_both_ways() -> None:
    ready = Ready.from_dict(READY)
    assert ready == Ready("s1", READY["model"], Limits(1000, 50), 8, None, MemoryState.NEW)
    assert ready.to_dict() == READY
    assert ready.class_names == ("road",)
    assert ready.palette == ((1, 2, 3),)


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"classes": {}},
        {"classes": ["road"]},
        {"classes": [{"name": "road"}]},
        {"classes": [{"name": 1, "colour": [1, 2, 3]}]},
        {"classes": [{"name": "road", "colour": [1, 2]}]},
        {"classes": [{"name": "road", "colour": [1, 2, 256]}]},
        {"classes": [{"name": "road", "colour": [1, 2, True]}]},
    ],
)
def test_ready_needs_classes_that_can_be_drawn(model: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match=r"ready\.model"):
        Ready.from_dict(READY | {"model": model})


def test_ready_needs_a_window_and_limits() -> None:
    with pytest.raises(ProtocolError, match="'window' is missing"):
        Ready.from_dict({key: value for key, value in READY.items() if key != "window"})
    with pytest.raises(ProtocolError, match="'max_message_bytes' is missing"):
        Ready.from_dict(READY | {"limits": {}})
