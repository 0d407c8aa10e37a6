"""``python -m server replay``: the verdict, and every reason to fail, in words."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from server.__main__ import main
from server.commands.replay import replay_file
from server.engines.fake import FakeEngine, fake_spec
from server.recordings.recording import sha256
from server.recordings.recording_file import MAGIC, Block, encode
from server.recordings.records import Ending, Failed, Lost, Masked, Opening, Rebuilt
from server.settings import EngineSettings, Settings

SPEC = fake_spec(32, 48)
SETTINGS = Settings(engine=EngineSettings(name="fake", fake_height=32, fake_width=48))
PICTURES = np.random.default_rng(0).integers(0, 256, (4, 32, 48, 3), np.uint8)


def blocks(provider: str = "fake") -> list[Block]:
    """Four masks, with a reset before the third, and one event of each other kind."""
    opening = Opening(
        version="1.2",
        stream="door",
        model=SPEC.to_dict(),
        provider=provider,
        device="cpu",
        policy="latest",
        began=0.0,
    )
    made = [Block(opening, b"")]
    engine = FakeEngine(SPEC)
    memory = engine.blank()
    for seq, reset in enumerate(["new", None, "cut", None]):
        memory = engine.blank() if reset else memory
        filled = engine.filled(memory)
        (labels,), (memory,) = engine.step([PICTURES[seq]], [memory])
        png = cv2.imencode(".png", PICTURES[seq][:, :, ::-1])[1].tobytes()
        mask = partial(Masked, pts=None, replay=False, picture="png", size=(32, 48), batch=1)
        hashes = {"pixels": sha256(PICTURES[seq]), "mask": sha256(labels)}
        made.append(Block(mask(seq=seq, reset=reset, filled=filled, **hashes), png))
    made.append(Block(Lost(seqs=tuple(range(10, 20)), cause="newer"), b""))
    refused = Failed(
        seq=20,
        picture="packet",
        size=(0, 0),
        stage="decode",
        code="undecodable",
        detail="It is cut off.",
    )
    made.append(Block(refused, b"no picture"))
    made.append(Block(Rebuilt(seq=3), b""))
    made.append(Block(Ending(why="bytes"), b""))
    return made


def written(path: Path, made: list[Block]) -> Path:
    path.write_bytes(MAGIC + b"".join(encode(*block) for block in made))
    return path


def changed(block: Block, **fields: Any) -> Block:
    return Block(block.record.model_copy(update=fields), block.payload)


def test_all_masks_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay_file(written(tmp_path / "a", blocks()), SETTINGS) == 0
    assert capsys.readouterr().out.splitlines() == [
        "pulled stream door, policy latest, recorded by mastream 1.2",
        "model fake: recorded with fake on cpu, replayed with fake on cpu",
        "reset (new): before frame 0",
        "reset (cut): before frame 2",
        "dropped (newer): 10, 11, 12, 13, 14, 15, 16, 17 and 2 more",
        "failed (undecodable): frame 20: It is cut off; its picture cannot be decoded here either",
        "rebuilt: the engine had died, frame 3 was segmented again",
        "4 masks, 2 resets, 10 dropped, 1 failed, 1 rebuilt",
        "the recording's end: bytes",
        "all 4 masks equal",
    ]


def test_the_first_difference_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = blocks()
    right = made[2].record
    assert isinstance(right, Masked)
    made[2], made[4] = changed(made[2], mask="0" * 64), changed(made[4], mask="1" * 64)
    assert replay_file(written(tmp_path / "a", made), SETTINGS) == 1
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"2 of 4 masks differ; the first is frame 1 (mask 1): its mask was {'0' * 64}, "
        f"here it is {right.mask} (memory filled 1)"
    )


def test_a_lost_frame_in_the_file_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = blocks()
    del made[3]
    assert replay_file(written(tmp_path / "a", made), SETTINGS) == 1
    assert "the memory held 1 frames, here 2" in capsys.readouterr().out


def test_a_truncated_file_is_used_up_to_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "a", blocks()[:4])
    path.write_bytes(path.read_bytes()[:-5])
    assert replay_file(path, SETTINGS) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == "all 2 masks equal"
    assert printed.err.startswith(f"mastream: {path} is damaged or cut off before byte ")
    assert printed.err.count("\n") == 1


def test_a_server_that_was_killed_leaves_a_file_without_an_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay_file(written(tmp_path / "a", blocks()[:3]), SETTINGS) == 0
    assert "not ended" in capsys.readouterr().out


def test_another_provider_is_mentioned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay_file(written(tmp_path / "a", blocks("cuda")), SETTINGS) == 0
    assert "Another provider ran the model" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file or directory."),
        (b"GIF89a", "is not a recording of mastream; give a file that it recorded."),
        (MAGIC, "is empty: it was cut off at its beginning; record again."),
    ],
)
def test_no_recording_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, words: str
) -> None:
    path = tmp_path / "a"
    if content is not None:
        path.write_bytes(content)
    assert main(["replay", str(path), "--engine", "fake"]) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err == f"mastream: {path} {words}\n"


def test_another_model_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(written(tmp_path / "a", blocks())), "--engine", "fake"]) == 1
    assert capsys.readouterr().err == (
        "mastream: The recording is of the model fake (48x32, fp32, fake), but this is fake "
        "(480x352, fp32, fake); give the recorded one with --model and --engine.\n"
    )
