"""The GPU benchmark runs from end to end at reduced size without a GPU; its arithmetic is right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from small_networks import small_trunks

from benchmarks.gpu.__main__ import main
from benchmarks.gpu.feeds import Feed, make_feed
from benchmarks.gpu.machine import Machine, work
from benchmarks.gpu.network import Network
from benchmarks.gpu.report import Report, Row, StreamRow
from benchmarks.gpu.streams import climb, serve
from models.build import Recipe, build
from models.layers import fold_norms

CPU = torch.device("cpu")
RECIPE = Recipe(output_stride=8)
SIZE = (32, 48)


def row(memory: bool = True, fps: float = 540.0, batch: int = 8) -> Row:
    engine, decode = "CUDA graph", "excluded"
    return Row("deeplabv3plus", memory, (720, 960), batch, engine, decode, fps, 14.0, 15.0)


def test_every_row_in_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gpu.json"
    command = ["--device", "cpu", "--tiny", "--heads", "deeplabv3plus", "--json", str(file)]
    with small_trunks():
        assert main([*command, "--batches", "2"]) == 0
    found = json.loads(file.read_text())
    assert found["complete"] and found["machine"]["flops"] > 0 and found["machine"]["bandwidth"] > 0
    decoded = {(r["engine"], r["decode"]) for r in found["rows"]}
    assert {
        ("eager", "excluded"),
        ("eager", "JPEG on the CPU"),
        ("eager", "H.264 by fake"),
    } < decoded
    assert {memory for r in found["rows"] if (memory := r["memory"]) is not None} == {True, False}
    assert all(r["fps"] > 0 and r["p99"] >= r["p50"] > 0 and r["floor"] > 0 for r in found["rows"])
    assert any(r["engine"].startswith("onnx_rt (CPU") for r in found["rows"])
    assert {s["decode"] for s in found["streams"]} == {
        "excluded", "JPEG on the CPU", "H.264 by fake"
    }  # fmt: skip
    assert found["kernels"] and sum(k["share"] for k in found["kernels"]) <= 1.001
    assert sum("torch.compile" in reason for reason in found["absent"]) == 2
    assert any("tensor_rt" in reason for reason in found["absent"])
    shown = capsys.readouterr().out
    assert "PCMA" in shown and "goal 500" in shown and "torch.compile" in shown


def test_without_a_gpu_it_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    assert main([]) == 1
    assert "--device cpu --tiny" in capsys.readouterr().out


def test_a_run_without_time_keeps_its_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gpu.json"
    assert main(["--device", "cpu", "--tiny", "--minutes", "0", "--json", str(file)]) == 0
    assert "time ran out" in capsys.readouterr().out


def test_rows_are_on_disk_as_they_come(tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    report = Report(file)
    report.add(row())
    assert len(json.loads(file.read_text())["rows"]) == 1
    report.miss("decoding, nvdec", "av is not installed")
    assert json.loads(file.read_text())["absent"] == ["decoding, nvdec: av is not installed"]


def test_goals_are_those_of_the_rows() -> None:
    report = Report(None)
    for memory, fps in ((True, 540.0), (False, 550.0)):
        report.add(row(memory, fps))
    for streams, holds in ((12, True), (16, True), (18, False)):
        report.add(
            StreamRow("deeplabv3plus", (720, 960), "excluded", streams, 9.0, 20.0, 4.0, holds)
        )
    goals = report.goals()
    assert (goals["frames_per_second"], goals["streams"]) == (540.0, 16)
    assert goals["cost_of_memory"] == pytest.approx(1 - 540 / 550)
    assert "1.8%" in report.table() and "540.0 frames/s (goal 500)" in report.table()


def test_the_floor_is_what_products_or_bytes_take() -> None:
    plain = work(Recipe(encoder="resnet50", output_stride=8), (720, 960), torch.float16)
    ours = work(Recipe(output_stride=8), (720, 960), torch.float16)
    assert 0.5e12 < plain.operations < ours.operations < 1e12
    fast = Machine("", "", "", flops=1e15, bandwidth=1e30)
    wide = Machine("", "", "", flops=1e30, bandwidth=1e12)
    assert ours.floor(fast, 4) == pytest.approx(4 * ours.operations / 1e15)
    assert ours.floor(wide, 4) == pytest.approx((ours.weights + 4 * ours.moved) / 1e12)


def network(slots: int = 3, batches: tuple[int, ...] = (1, 2)) -> Network:
    return Network(RECIPE, SIZE, CPU, torch.float32, slots=slots, batches=batches)


def test_each_slot_has_a_memory_of_its_own() -> None:
    """Two streams in turn, and together, see what the served network sees."""
    torch.manual_seed(0)
    ours = network()
    torch.manual_seed(0)
    plain = build(RECIPE).eval()
    fold_norms(plain)
    blank = plain.encoder.blank(2, *SIZE, torch.zeros(1))
    keys, values = [f.key for f in blank.fifos], [f.value for f in blank.fifos]
    count = torch.full((2,), 2)
    with torch.inference_mode():
        for _ in range(2):
            mask, count, *kept = plain(ours.frames, count, *keys, *values)
            keys, values = kept[: len(keys)], kept[len(keys) :]
    ours.index[:2] = torch.tensor([2, 0])
    ours.step(2)
    ours.step(2)
    assert torch.equal(ours.masks, mask)
    for held, expected in zip(ours._held[1:], [*keys, *values], strict=True):
        torch.testing.assert_close(held[[2, 0]], expected, atol=1e-4, rtol=1e-4)
        assert not held[[1, 3]].any()


class Instant(Feed):
    name = "instant"

    def fill(self, batch: int) -> None: ...


class Quick(Network):
    """Takes no time; counts its steps."""

    def __init__(self) -> None:
        self.batches, self.spare, self.device = (1, 2, 4), 8, CPU
        self.index, self.masks = torch.zeros(4, dtype=torch.int64), torch.zeros(4, 1, 1)
        self.slots: list[list[int]] = []

    def step(self, batch: int) -> None:
        self.slots.append(self.index[:batch].tolist())


def test_every_picture_of_a_stream_is_stepped_once() -> None:
    quick = Quick()
    load = serve(quick, Instant(), streams=3, seconds=0.5, rate=40.0)
    stepped = [slot for slots in quick.slots for slot in slots if slot != quick.spare]
    assert load.streams == 3 and load.mean_batch >= 1
    assert all(1 <= stepped.count(slot) <= 21 for slot in range(3))
    for slots in quick.slots:
        real = [slot for slot in slots if slot != quick.spare]
        assert len(real) == len(set(real)), "a stream has one frame a step"


def test_climbing_ends_where_it_does_not_hold() -> None:
    class Slow(Instant):
        lead = 1.0

    found = list(climb(Quick(), Slow(), 0.1, counts=(1, 2)))
    assert [load.streams for load in found] == [1] and not found[0].holds
    none = list(climb(Quick(), Instant(), 0.1, counts=(9,)))
    assert none == []


@pytest.mark.parametrize("name", ["excluded", "upload", "jpeg", "nvdec"])
def test_feeds_fill_what_is_asked_for(name: str) -> None:
    ours = network()
    feed = make_feed(name, ours)
    ours.frames.zero_()
    for batch in (1, 2, 2):
        feed.fill(batch)
    feed.close()
    filled = ours.frames.float().std(dim=(1, 2, 3))
    assert bool((filled > 1).all()) == (name != "excluded")
