from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import httpx
import numpy as np
import pytest
from camera_body import BODY

from clients.python import cameras_command
from clients.python.cameras import Cameras
from clients.python.cli import main
from protocol import End, MaskEncoding, MaskHeader, pack

SECRET = "rtsp://user:pass@word@camera/main"

Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], None]:
    """Call it with a function that answers the command's requests."""

    def answer_with(answer: Answer) -> None:
        replaced = partial(Cameras, transport=httpx.MockTransport(answer))
        monkeypatch.setattr(cameras_command, "Cameras", replaced)

    return answer_with


def test_a_camera_is_added(web: Any, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        return httpx.Response(201, json=BODY | {"state": "connecting", "detail": ""})

    web(answer)
    argv = ["cameras", "add", "front", SECRET, "--max-fps", "5", "--on-cut", "keep", "--policy"]
    assert main([*argv, "every", "--publish", "rtsp://out/x"]) == 0
    told = capsys.readouterr()
    assert told == ("front is connecting.\n", "")
    (sent,) = asked
    assert sent == {
        "name": "front",
        "url": SECRET,
        "policy": "every",
        "max_fps": 5.0,
        "loop": False,
        "on_gap": "reset",
        "on_connect": "reset",
        "on_size": "reset",
        "on_cut": "keep",
        "publish": "rtsp://out/x",
        "paused": False,
    }


def test_an_address_can_come_from_standard_input(web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content)["url"])
        return httpx.Response(201, json=BODY)

    web(answer)
    monkeypatch.setattr(sys, "stdin", io.StringIO(SECRET + "\n"))
    assert main(["cameras", "add", "front", "-"]) == 0
    assert asked == [SECRET]


@pytest.mark.parametrize("status", [204, 404])
def test_a_camera_is_replaced(status: int, web: Any) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        return httpx.Response(status if request.method == "DELETE" else 201, json=BODY)

    web(answer)
    assert main(["cameras", "add", "front", SECRET, "--replace"]) == 0
    assert asked == ["DELETE /v1/streams/front", "POST /v1/streams"]


def test_cameras_are_listed_with_what_is_wrong(
    web: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    publish = {"url": "rtsp://out/x", "state": "backoff", "detail": "Nobody answers."}
    some = [BODY, BODY | {"name": "yard", "state": "live", "detail": "", "publish": publish}]
    web(lambda _: httpx.Response(200, json={"streams": some}))
    assert main(["cameras", "list"]) == 0
    text = capsys.readouterr().out
    for words in ("front", "stalled", "1 s", "25.0", "24.5", "9.2", "10", "rtsp://camera/main"):
        assert words in text
    assert "The camera sent nothing for 3 s." in text
    assert "Publishing to rtsp://out/x is backoff: Nobody answers." in text


def test_an_empty_list_says_how_to_begin(web: Any, capsys: pytest.CaptureFixture[str]) -> None:
    web(lambda _: httpx.Response(200, json={"streams": []}))
    assert main(["cameras", "list"]) == 0
    assert "mastream cameras add NAME ADDRESS" in capsys.readouterr().out


def test_a_list_that_is_watched_is_asked_for_again_until_interrupted(
    web: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cameras_command, "REFRESH_SECONDS", 0)
    answers = iter([httpx.Response(200, json={"streams": [BODY]}) for _ in range(3)])

    def answer(_: httpx.Request) -> httpx.Response:
        if found := next(answers, None):
            return found
        raise KeyboardInterrupt

    web(answer)
    assert main(["cameras", "list", "--watch"]) == 130
    told = capsys.readouterr()
    assert told.out.count("stalled") == 3
    assert told.err == "mastream: Interrupted.\n"


@pytest.mark.parametrize(
    ("action", "method", "words"),
    [
        ("pause", "PATCH", "front is paused.\n"),
        ("resume", "PATCH", "front is paused.\n"),
        ("remove", "DELETE", "front was removed.\n"),
    ],
)
def test_a_camera_is_named(
    action: str, method: str, words: str, web: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == (method, "/v1/streams/front")
        return httpx.Response(200, json=BODY | {"state": "paused", "detail": ""})

    web(answer)
    assert main(["cameras", action, "front"]) == 0
    assert capsys.readouterr() == (words, "")


@pytest.mark.parametrize(
    ("argv", "before", "words"),
    [
        (["record", "front"], None, "front is being recorded as ab12.\n"),
        (
            ["record", "front", "--stop"],
            "ab12",
            "front was recorded: GET /v1/recordings/ab12 is the file.\n",
        ),
        (["record", "front", "--stop"], None, "front was not being recorded.\n"),
    ],
)
def test_a_camera_is_recorded(
    argv: list[str], before: str | None, words: str, web: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json=BODY | {"recording": before})
        wanted = json.loads(request.content)["record"]
        return httpx.Response(200, json=BODY | {"recording": "ab12" if wanted else None})

    web(answer)
    assert main(["cameras", *argv]) == 0
    assert capsys.readouterr() == (words, "")


def test_a_refusal_is_one_sentence(web: Any, capsys: pytest.CaptureFixture[str]) -> None:
    problem = {"detail": "There is no stream 'front'.", "code": "not_found"}
    web(lambda _: httpx.Response(404, json=problem))
    assert main(["cameras", "remove", "front"]) == 1
    assert capsys.readouterr() == ("", "mastream: There is no stream 'front'.\n")


@pytest.mark.parametrize(
    "argv",
    [
        ["add", "front"],
        ["add", "front", SECRET, SECRET],
        ["add", "front", SECRET, "--max-fps", "0"],
        ["add", "front", SECRET, "--on-cut", "forget"],
        ["add", "front", "rtsp://h/x", "--url", "ftp://user:pass@word@host"],
        ["list", "front"],
        ["watch"],
        ["remove", "front", "yard"],
    ],
)
def test_wrong_use_is_reported_with_2_and_without_passwords(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["cameras", *argv])
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"mastream cameras {argv[0]}: error: ")
    assert told.endswith(f"; see mastream cameras {argv[0]} --help.\n")
    assert told.count("\n") == 1
    assert "pass" not in told and "word@" not in told


@pytest.mark.parametrize("argv", [[], ["adds"]])
def test_an_action_is_needed(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["cameras", *argv])
    assert caught.value.code == 2
    assert capsys.readouterr().err.endswith("; see mastream cameras --help.\n")


def test_watching_prints_a_line_per_second(
    small_server: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cameras_command, "REFRESH_SECONDS", 0.05)

    async def handler(talk: Any) -> None:
        opened = await talk.greet()
        assert (opened.output, opened.overlay) == (MaskEncoding.NONE, False)
        for seq in (3, 4, 8):
            await talk.mask(seq, "none", areas={"road": 0.75, "sky": 0.25, "car": 0.0})
        await talk.socket.wait_closed()

    argv = ["cameras", "watch", "front", "--url", small_server(handler).url, "--seconds", "0.5"]
    assert main(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "masks/s   3 lost   seq 8   road 75%, sky 25%" in lines[0]
    assert lines[-1] == "3 masks"


def test_watching_saves_the_overlay(small_server: Any, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.mp4"

    async def handler(talk: Any) -> None:
        assert (await talk.greet()).overlay
        for seq in range(3):
            picture = np.full((48, 64, 3), (0, 0, 255), np.uint8)
            jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
            header = MaskHeader(
                seq=seq,
                pts=seq / 25,
                encoding=MaskEncoding.NONE,
                width=64,
                height=48,
                overlay=len(jpeg),
            )
            await talk.socket.send(pack(header, jpeg))
        await talk.say(End())

    argv = ["cameras", "watch", "front", "--url", small_server(handler).url]
    assert main([*argv, "--overlay", str(overlay)]) == 0
    with av.open(str(overlay)) as container:
        frames = list(container.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.04, 0.08], abs=1e-3)
    red, green, blue = frames[1].to_ndarray(format="rgb24")[24, 32].astype(int)
    assert red > 200 and green < 50 and blue < 50


def test_watching_without_a_mask_is_a_failure_and_leaves_no_file(
    small_server: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet()
        await talk.say(End())

    overlay = tmp_path / "overlay.mp4"
    argv = ["cameras", "watch", "front", "--url", small_server(handler).url]
    assert main([*argv, "--overlay", str(overlay)]) == 1
    told = capsys.readouterr().err
    assert told == "mastream: No mask of front arrived; mastream cameras list says why.\n"
    assert list(tmp_path.iterdir()) == []


def test_an_overlay_that_cannot_be_written_is_found_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["cameras", "watch", "front", "--url", "http://127.0.0.1:1", "--overlay"]
    assert main([*argv, str(tmp_path / "o.txt")]) == 1
    assert capsys.readouterr().err.startswith(f"mastream: {tmp_path / 'o.txt'} cannot be written")
