"""Cameras as a table, and what a viewer sees of one camera, as lines for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from clients.python.camera import Camera
from clients.python.mask import Mask

LARGEST = 4
"""How many classes a line names."""

_COLOURS = {
    "live": "green",
    "connecting": "yellow",
    "stalled": "yellow",
    "backoff": "red",
    "failed": "red",
}


def cameras_table(cameras: Iterable[Camera]) -> Table:
    """Return a table of the cameras: state, rates, latency, drops, viewers and problems."""
    table = Table()
    for name in ("name", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("since", "in/s", "out/s", "p99 ms", "drops", "viewers"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("camera", overflow="fold")
    for one in cameras:
        # Text, because a sentence of the server may look like rich's markup.
        table.add_row(_plain(one.name), _state(one), *_numbers(one), _plain(_words(one)))
    return table


def _plain(text: str) -> Text:
    """Return a text that cannot steer the terminal."""
    return Text("".join(letter for letter in text if letter.isprintable() or letter == "\n"))


def _state(camera: Camera) -> Text:
    return Text(_plain(camera.state).plain, _COLOURS.get(camera.state, ""))


def _numbers(camera: Camera) -> tuple[str, ...]:
    p99 = camera.latency_p99
    return (
        duration(camera.since),
        f"{camera.fps_in:.1f}",
        f"{camera.fps_out:.1f}",
        "-" if p99 is None else f"{p99:.1f}",
        str(sum(camera.dropped.values())),
        str(camera.viewers),
    )


def _words(camera: Camera) -> str:
    return "\n".join(line for line in (camera.url, camera.detail, camera.publishing) if line)


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: "42 s", "3 min 5 s", "2 h 10 min", "4 d 1 h"."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    left = int(seconds)
    words: list[str] = []
    for name, length in units:
        count, left = divmod(left, length)
        if count or words:
            words.append(f"{count} {name}")
    return " ".join(words[:2]) or "0 s"


def camera_line(camera: Camera) -> str:
    """Return a camera's state in one line."""
    why = f": {camera.detail}" if camera.detail else "."
    return _plain(f"{camera.name} is {camera.state}{why}").plain


def masks_line(masks: int, seconds: float, lost: int, last: Mask) -> str:
    """Return what arrived in the last ``seconds``: rate, losses, and the largest classes."""
    areas = sorted(last.header.areas.items(), key=lambda item: -item[1])
    shares = [f"{name} {share:.0%}" for name, share in areas[:LARGEST] if share > 0]
    parts = [
        f"{masks / seconds:5.1f} masks/s",
        f"{lost} lost",
        f"seq {last.seq}",
        ", ".join(shares),
    ]
    return "   ".join(parts)
