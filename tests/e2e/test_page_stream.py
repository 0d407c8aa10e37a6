"""The page's stream.js in Node: its masks are those of an unbroken stream, whatever breaks."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from ports import free_port

NODE = shutil.which("node")
SCRIPT = Path(__file__).with_name("node") / "page_stream.mjs"
FRAMES, WIDTH, HEIGHT = 30, 64, 48

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed: apt install nodejs")

Event = dict[str, Any]


@contextmanager
def streaming(url: str, output: str) -> Iterator[Iterator[Event]]:
    """The events that the script prints while it streams to the server at ``url``."""
    arguments = [f"{url}/v1/stream", str(FRAMES), str(WIDTH), str(HEIGHT), output]
    command = [NODE or "node", str(SCRIPT), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield map(json.loads, process.stdout)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def streamed(url: str, output: str, on_mask: Callable[[int], None] = lambda _: None) -> list[Event]:
    """All events; ``on_mask`` is called with the number of masks so far."""
    events: list[Event] = []
    with streaming(url, output) as given:
        for event in given:
            events.append(event)
            if "mask" in event:
                on_mask(len(masks(events)))
    return events


def masks(events: list[Event]) -> list[Event]:
    return [event for event in events if "mask" in event]


def found(events: list[Event], field: str) -> list[str]:
    return [event[field] for event in events if field in event]


def states(events: list[Event]) -> list[str]:
    """The states in order; a state that is repeated with another sentence counts once."""
    return [state for state, _ in groupby(found(events, "state"))]


def restarted(run_server: Any, counts: tuple[int, ...], how: int) -> list[Event]:
    """Return the events of a stream whose server is ended by the signal ``how`` after this many
    masks, and started again."""
    port = str(free_port())
    with ExitStack() as stack:
        running = [stack.enter_context(run_server("--port", port, engine__fake_step_ms="20"))]

        def end(count: int) -> None:
            if count in counts:
                running[-1].process.send_signal(how)
                running[-1].process.wait()
                running.append(stack.enter_context(run_server("--port", port)))

        events = streamed(running[0].http, "raw", end)
        assert len(running) == 1 + len(counts)
        return events


def test_an_unbroken_stream_ends_after_its_last_mask(server: Any) -> None:
    events = streamed(server.http, "raw")
    assert found(events, "mask") == list(range(FRAMES))
    assert [event["reset"] for event in masks(events)[:5]] == ["new", None, None, "client", None]
    assert found(events, "ready") == ["new"]
    assert states(events) == ["live", "ended"]


@pytest.mark.parametrize("output", ["png", "rle"])
def test_each_encoding_gives_the_same_labels(server: Any, output: str) -> None:
    assert masks(streamed(server.http, output)) == masks(streamed(server.http, "raw"))


@pytest.mark.parametrize("counts", [(1,), (17, 19)])
def test_after_a_kill_and_a_restart_every_mask_is_as_in_the_unbroken_stream(
    run_server: Any, server: Any, counts: tuple[int, ...]
) -> None:
    events = restarted(run_server, counts, signal.SIGKILL)
    assert masks(events) == masks(streamed(server.http, "raw"))
    assert found(events, "ready") == ["new"] + ["rebuilt"] * len(counts)
    assert states(events) == ["live"] + ["waiting", "live"] * len(counts) + ["ended"]


def test_a_server_that_is_stopped_and_started_again_loses_nothing(
    run_server: Any, server: Any
) -> None:
    events = restarted(run_server, (12,), signal.SIGTERM)
    assert masks(events) == masks(streamed(server.http, "raw"))
    assert states(events) == ["live", "waiting", "live", "ended"]
