from __future__ import annotations

import pytest
from camera_body import BODY
from rich.console import Console

from clients.python.camera import Camera
from clients.python.camera_table import camera_line, cameras_table, duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.9, "0 s"),
        (42.0, "42 s"),
        (185.0, "3 min 5 s"),
        (7800.0, "2 h 10 min"),
        (86400.0, "1 d 0 h"),
        (349200.5, "4 d 1 h"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_camera_in_one_line() -> None:
    camera = Camera.from_dict(BODY)
    assert camera_line(camera) == "front is stalled: The camera sent nothing for 3 s."


def test_the_servers_words_are_not_markup() -> None:
    camera = Camera.from_dict(BODY | {"detail": "Use [bold]this[/bold]\x1b[31m.", "masks": 0})
    console = Console(width=200)
    with console.capture() as captured:
        console.print(cameras_table([camera]))
    assert "Use [bold]this[/bold][31m." in captured.get()
