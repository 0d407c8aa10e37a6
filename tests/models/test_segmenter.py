"""The whole network: memory in, memory out, every named variant."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from models import checkpoint, source
from models.build import ENCODERS, HEADS, Recipe, build, parse_name
from models.checkpoint import CheckpointError
from models.layers import fold_norms
from models.options import MemoryOptions
from models.segmenter import Memory, Segmenter
from models.spec import ClassLabel, ModelSpec, SpecError, StageMemory

HEIGHT, WIDTH = 40, 56


def network(encoder: str = "ma-resnet50", **changes: object) -> Segmenter:
    torch.manual_seed(0)
    made = build(Recipe(encoder=encoder, output_stride=32, memory=dict(changes)))
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return made.eval()


def blank(of: Segmenter, batch: int = 1) -> Memory:
    return of.encoder.blank(batch, HEIGHT, WIDTH, torch.zeros(()))


def frames(count: int, batch: int = 1) -> torch.Tensor:
    return torch.randint(0, 256, (count, batch, HEIGHT, WIDTH, 3), dtype=torch.uint8)


@pytest.mark.parametrize("encoder", ENCODERS)
@torch.no_grad()
def test_every_variant_segments_at_the_frames_size(encoder: str) -> None:
    made = network(encoder)
    mask, kept = made.step(frames(1, 2)[0], blank(made, 2))
    assert mask.shape == (2, HEIGHT, WIDTH) and mask.dtype == torch.uint8
    assert mask.max() < 11
    remembers = encoder.startswith("ma-")
    assert kept.count.tolist() == ([1, 1] if remembers else [0, 0])
    assert len(kept.fifos) == (1 if remembers else 0)


def test_the_heads_size_is_the_published_one() -> None:
    head = build(Recipe()).head
    assert sum(p.numel() for p in head.parameters()) == pytest.approx(3.19e6, rel=0.002)


@torch.no_grad()
def test_what_is_known_after_a_frame_depends_on_the_horizon_alone() -> None:
    made = network()
    footage = frames(5)
    long, short = blank(made), blank(made)
    for frame in footage:
        last, long = made.step(frame, long)
    for frame in footage[2:]:
        again, short = made.step(frame, short)
    assert made.encoder.options is not None and made.encoder.options.horizon == 2
    assert torch.equal(last, again)
    for one, other in zip(long.fifos, short.fifos, strict=True):
        assert torch.equal(one.key, other.key) and torch.equal(one.value, other.value)


@torch.no_grad()
def test_memory_changes_the_answer_and_forgetting_undoes_it() -> None:
    made = network()
    first, second = frames(2)
    _, kept = made.step(first, blank(made))
    fresh, _ = made.logits(made.normalise(second), blank(made))
    after, _ = made.logits(made.normalise(second), kept)
    forgot, _ = made.logits(made.normalise(second), kept.forget(torch.tensor([True])))
    assert not torch.allclose(fresh, after)
    assert torch.equal(fresh, forgot)


@torch.no_grad()
def test_a_step_changes_nothing_that_it_was_given() -> None:
    made = network()
    _, held = made.step(frames(1)[0], blank(made))
    before = [t.clone() for fifo in held.fifos for t in fifo]
    frame = frames(1)[0]
    copy = frame.clone()
    made.step(frame, held)
    assert torch.equal(frame, copy)
    assert all(
        torch.equal(a, b) for a, b in zip(before, (t for f in held.fifos for t in f), strict=True)
    )


@torch.no_grad()
def test_the_served_graph_takes_keys_then_values_and_returns_them_alike() -> None:
    made = network()
    memory = blank(made, 2)
    fifos = (*(f.key for f in memory.fifos), *(f.value for f in memory.fifos))
    mask, count, *kept = made(frames(1, 2)[0], memory.count, *fifos)
    assert mask.shape[0] == 2 and count.tolist() == [1, 1]
    assert [t.shape for t in kept] == [t.shape for t in fifos]


@torch.no_grad()
def test_folding_norms_changes_nothing_but_the_graph() -> None:
    made = network()
    footage = frames(2)
    _, held = made.step(footage[0], blank(made))
    before, _ = made.logits(made.normalise(footage[1]), held)
    fold_norms(made)
    fold_norms(made)
    after, _ = made.logits(made.normalise(footage[1]), held)
    torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-4)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in made.encoder.trunk.modules())


def test_names_are_parsed_and_wrong_ones_told() -> None:
    assert parse_name("deeplabv3plus-ma-resnet50_vd") == ("deeplabv3plus", "ma-resnet50_vd")
    with pytest.raises(ValueError, match=next(iter(HEADS))):
        parse_name("unet-resnet50")
    with pytest.raises(ValueError, match="ma-resnet50_vd"):
        parse_name("deeplabv3plus-resnet18")


def test_a_recipe_survives_its_dictionary() -> None:
    recipe = Recipe(encoder="ma-resnet50_vd", preset="release", memory={"stages": [1, 2]})
    again = Recipe.from_dict(recipe.to_dict())
    assert again.options == recipe.options
    assert again.to_dict() == recipe.to_dict()
    assert recipe.options is not None and recipe.options.stages == (1, 2)


def test_a_recipe_that_keeps_a_presets_name_means_what_that_was() -> None:
    """Old files do so; newer ones spell out every option."""
    told = Recipe().to_dict()
    assert told["memory"] == asdict(MemoryOptions())
    before = Recipe.from_dict({**told, "memory": {"frames": 1}}).options
    assert before == MemoryOptions(None, 1, key_norm="softmax", enhanced_norm=True, mixing="add")
    plain = Recipe(encoder="resnet50")
    assert Recipe.from_dict(plain.to_dict()) == plain


def test_checkpoints_say_what_is_wrong_with_them(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        checkpoint.read(tmp_path / "absent.pt")
    (tmp_path / "text.pt").write_text("text")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        checkpoint.read(tmp_path / "text.pt")
    torch.save({"weights": {}}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="mastream-checkpoint-1"):
        checkpoint.read(tmp_path / "other.pt")
    kept = {"format": checkpoint.FORMAT, "weights": {}}
    torch.save(kept, tmp_path / "bare.pt")
    with pytest.raises(CheckpointError, match="no recipe"):
        checkpoint.load(tmp_path / "bare.pt")
    later = Recipe().to_dict() | {"memory": {"from_the_future": 1}}
    torch.save(kept | {"recipe": later}, tmp_path / "later.pt")
    with pytest.raises(CheckpointError, match="another version"):
        checkpoint.load(tmp_path / "later.pt")
    checkpoint.save(tmp_path / "empty.pt", Recipe(), {})
    with pytest.raises(CheckpointError, match="does not fit"):
        checkpoint.load(tmp_path / "empty.pt")


def test_a_checkpoint_that_names_no_dataset_cannot_name_its_classes(tmp_path: Path) -> None:
    recipe = Recipe(encoder="resnet50", output_stride=32)
    checkpoint.save(tmp_path / "nameless.pt", recipe, build(recipe).state_dict())
    with pytest.raises(SpecError, match="no known dataset"):
        source.load(tmp_path / "nameless.pt")


def make_spec(**changes: object) -> ModelSpec:
    values: dict[str, object] = {
        "name": "m", "head": "h", "backbone": "b", "classes": (ClassLabel("Sky", (1, 2, 3)),),
        "height": 4, "width": 6, "output_stride": 16, "memory": (StageMemory(1, 6, 2, 4),),
        "memory_frames": 2, "memory_horizon": None, "preset": "default",
        "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0),
    }  # fmt: skip
    return ModelSpec(**(values | changes))  # type: ignore[arg-type]


def test_a_spec_survives_its_json_and_counts_its_memory() -> None:
    spec = make_spec()
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert spec.memory_bytes == 2 * 6 * (2 + 4) * 4
    assert make_spec(precision="fp16").memory_bytes == 2 * 6 * (2 + 4) * 2


@pytest.mark.parametrize(
    "changes", [{"name": "a/b"}, {"classes": ()}, {"width": 0}, {"memory_frames": 0}]
)
def test_a_spec_that_contradicts_itself_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(SpecError):
        make_spec(**changes)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": 3}'])
def test_a_spec_that_is_no_json_of_ours_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        ModelSpec.from_json(text)
