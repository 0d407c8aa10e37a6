"""PCMA against its equations, written out the long way."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models import memory
from models.memory import (
    EMPTY_LOGIT,
    PCMA,
    StageFifo,
    judge_statistic,
    mean_scaled,
    normalise_key,
    push,
)
from models.options import MemoryOptions, memory_options

CHANNELS, HEIGHT, WIDTH = 16, 6, 10


RELEASE = {"key_norm": "softmax", "enhanced_norm": True, "mixing": "add"}
"""As the release computes, whose equations are written out below."""


def make(channels: int = CHANNELS, **changes: object) -> PCMA:
    torch.manual_seed(0)
    module = PCMA(channels, memory_options("default", **(RELEASE | changes))).eval()
    for norm in (module.key_bn, module.norm):
        if isinstance(norm, torch.nn.BatchNorm2d):
            assert norm.running_mean is not None and norm.running_var is not None
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
    return module


def fifo(module: PCMA, batch: int, filling: float | None = None) -> StageFifo:
    tokens, frames = module.tokens(HEIGHT, WIDTH), module.options.frames
    shapes = ((batch, frames, tokens, module.key_width), (batch, frames, tokens, module.width))
    if filling is None:
        return StageFifo(*(torch.rand(shape) for shape in shapes))
    return StageFifo(*(torch.full(shape, filling) for shape in shapes))


def feature(batch: int = 1) -> Tensor:
    return torch.rand(batch, CHANNELS, HEIGHT, WIDTH)


def by_the_equations(module: PCMA, x: Tensor, held: StageFifo, count: int) -> Tensor:
    """One sample, step by step, attending to the filled slots alone."""
    s = module.width
    sel = x[:, -s:]
    full = F.conv2d(sel, module.key_conv.weight, padding=1)
    query = F.relu(module.key_bn(full))[:, :, ::2, ::2].softmax(dim=1) * 10
    q = query[0].flatten(1).T
    k = held.key[0, :count].flatten(0, 1)
    v = held.value[0, :count].flatten(0, 1)
    recalled = ((q @ k.T).softmax(dim=1) @ v).T.reshape(1, s, *query.shape[2:])
    recalled = F.interpolate(recalled, size=x.shape[2:], mode="bilinear", align_corners=False)
    recalled = F.relu(module.norm(recalled))
    mixed = recalled * sel.mean() / recalled.mean() + sel
    return torch.cat([x[:, :-s], mixed], dim=1)


@pytest.mark.parametrize(
    ("channels", "parameters"),
    [(256, 18_624), (512, 74_112), (1024, 295_680), (2048, 1_181_184)],
)
def test_parameter_counts_are_the_papers(channels: int, parameters: int) -> None:
    module = PCMA(channels, memory_options("release"))
    assert sum(p.numel() for p in module.parameters()) == parameters


@pytest.mark.parametrize("count", [1, 2, 3])
@torch.no_grad()
def test_follows_the_equations_at_every_fill_level(count: int) -> None:
    module, x = make(frames=3), feature()
    held = fifo(module, 1)
    ours = module(x, held, torch.tensor([count])).feature
    torch.testing.assert_close(ours, by_the_equations(module, x, held, count))


@torch.no_grad()
def test_keys_of_one_length_make_logits_100_cosines() -> None:
    key = torch.rand(2, 8, 3, 5)
    key[0, :, 1, 1] = 0  # a place that no filter answers to
    normed = normalise_key(key, "length")
    lengths = normed.norm(dim=1)
    assert lengths[0, 1, 1] == 0
    lengths[0, 1, 1] = 10
    torch.testing.assert_close(lengths, torch.full_like(lengths, 10))
    one, other = normed[1, :, 0, 0], normed[1, :, 2, 3]
    cosine = F.cosine_similarity(key[1, :, 0, 0], key[1, :, 2, 3], dim=0)
    torch.testing.assert_close(one @ other, 100 * cosine)


@torch.no_grad()
def test_before_anything_is_learnt_a_place_is_recalled_where_it_was_seen() -> None:
    """By keys of one length; those of the release, nearly equal at first, recall a mean."""
    x = torch.rand(1, 256, HEIGHT, WIDTH)
    assert recall_error(x, "length") < 0.1
    assert recall_error(x, "softmax") > 0.3


def recall_error(x: Tensor, key_norm: str) -> float:
    """The share of a map's variance that a fresh memory of that very map does not recall."""
    module = PCMA(x.shape[1], memory_options("default", key_norm=key_norm, frames=1)).eval()
    module.key_bn.train()  # statistics of this very map
    sel = x[:, -module.width :]
    key = module.encode_key(sel)
    held = StageFifo(memory.to_tokens(key)[:, None], module.encode_value(sel)[:, None])
    seen = sel[:, :, ::2, ::2]
    wrong = module.recall(key, held, torch.tensor([1])) - seen
    return float(wrong.square().sum() / (seen - seen.mean(dim=(2, 3), keepdim=True)).square().sum())


@torch.no_grad()
def test_a_blend_begins_half_and_half_and_learns_a_share_a_channel() -> None:
    module, x = PCMA(CHANNELS, MemoryOptions()).eval(), feature()
    sel, held, count = x[:, -module.width :], fifo(module, 1), torch.tensor([2])
    recalled = module.norm_recalled(module.recall(module.encode_key(sel), held, count), x, count)
    scaled = mean_scaled(recalled, sel)
    ours = module(x, held, count).feature[:, -module.width :]
    torch.testing.assert_close(ours, (sel + scaled) / 2)
    assert module.share is not None
    module.share[0], module.share[1] = 0.0, 1.0
    ours = module(x, held, count).feature[:, -module.width :]
    assert torch.equal(ours[:, 0], sel[:, 0])
    torch.testing.assert_close(ours[:, 1], scaled[:, 1])


@torch.no_grad()
def test_an_empty_memory_passes_the_feature_through() -> None:
    module, x = make(), feature()
    assert torch.equal(module(x, fifo(module, 1), torch.tensor([0])).feature, x)


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf"), 1e30])
@torch.no_grad()
def test_slots_beyond_count_never_matter(poison: float) -> None:
    module, x = make(frames=3), feature()
    held = fifo(module, 1)
    spoilt = StageFifo(held.key.clone(), held.value.clone())
    spoilt.key[:, 1:], spoilt.value[:, 1:] = poison, poison
    clean = module(x, held, torch.tensor([1]))
    dirty = module(x, spoilt, torch.tensor([1]))
    for ours, theirs in zip(clean, dirty, strict=True):
        assert torch.equal(ours, theirs)


@torch.no_grad()
def test_a_batch_equals_each_alone_whatever_the_others_hold() -> None:
    module, x = make(), feature(3)
    held = fifo(module, 3)
    held.key[2], held.value[2] = float("nan"), float("nan")
    count = torch.tensor([2, 1, 2])
    together = module(x, held, count).feature
    for i in range(2):
        one = StageFifo(held.key[i : i + 1], held.value[i : i + 1])
        alone = module(x[i : i + 1], one, count[i : i + 1]).feature
        torch.testing.assert_close(together[i : i + 1], alone)
    assert together[2].isnan().any()


@pytest.mark.parametrize("stride", [1, 2, 4])
@torch.no_grad()
def test_a_strided_key_is_the_full_one_down_sampled(stride: int) -> None:
    module = make(attention_stride=stride, key_norm="none")
    sel = torch.rand(1, module.width, 7, 9)
    full = F.relu(module.key_bn(F.conv2d(sel, module.key_conv.weight, padding=1)))
    torch.testing.assert_close(module.encode_key(sel), full[:, :, ::stride, ::stride])
    assert module.tokens(7, 9) == module.encode_value(sel).shape[1]


@torch.no_grad()
def test_only_the_last_channels_change_and_the_entry_is_of_this_frame_alone() -> None:
    module, x = make(), feature()
    one = module(x, fifo(module, 1), torch.tensor([2]))
    other = module(x, fifo(module, 1), torch.tensor([1]))
    kept = CHANNELS - module.width
    assert torch.equal(one.feature[:, :kept], x[:, :kept])
    assert not torch.equal(one.feature[:, kept:], x[:, kept:])
    assert torch.equal(one.key, other.key) and torch.equal(one.value, other.value)


@torch.no_grad()
def test_enhanced_values_depend_on_what_was_remembered() -> None:
    module, x = make(memory_value="enhanced"), feature()
    one = module(x, fifo(module, 1), torch.tensor([2]))
    other = module(x, fifo(module, 1), torch.tensor([2]))
    assert not torch.equal(one.value, other.value)
    assert module.options.horizon is None


@torch.no_grad()
def test_the_judge_keeps_only_what_lies_in_its_range() -> None:
    module = make(judge=True)
    count = torch.tensor([1, 1, 1, 0])
    accepted = module.accepts(torch.tensor([0.05, 0.5, 0.95, 0.5]), count)
    assert accepted.flatten().tolist() == [False, True, False, False]


def test_the_judges_statistic_is_equation_4() -> None:
    flat = torch.tensor([[0.0, 1.0, 2.0, 5.0]]).reshape(1, 1, 2, 2)
    assert judge_statistic(flat).item() == pytest.approx(2 / 5)
    assert judge_statistic(torch.zeros(1, 1, 2, 2)).item() == 0


def test_mean_scaling_is_per_sample_and_survives_a_zero_mean() -> None:
    recalled, sel = torch.rand(2, 4, 3, 3), torch.rand(2, 4, 3, 3)
    scaled = mean_scaled(recalled, sel)
    torch.testing.assert_close(scaled[:1], mean_scaled(recalled[:1], sel[:1]))
    torch.testing.assert_close(scaled.mean(dim=(1, 2, 3)), sel.mean(dim=(1, 2, 3)))
    for kind in (torch.float32, torch.float16):
        assert mean_scaled(torch.zeros_like(sel).to(kind), sel.to(kind)).isfinite().all()


def test_push_puts_the_newest_first_and_forgets_the_oldest() -> None:
    held = StageFifo(torch.arange(3.0).reshape(1, 3, 1, 1), torch.zeros(1, 3, 1, 1))
    kept = push(held, torch.full((1, 1, 1), 9.0), torch.ones(1, 1, 1))
    assert kept.key.flatten().tolist() == [9, 0, 1]
    assert kept.value.flatten().tolist() == [1, 0, 0]


def test_in_training_empty_memories_stay_out_of_the_batch_statistics() -> None:
    module = make().train()
    module.key_bn.eval()
    norm = module.norm
    assert isinstance(norm, torch.nn.BatchNorm2d) and norm.running_mean is not None
    before = norm.running_mean.clone()
    module(feature(2), fifo(module, 2), torch.tensor([0, 0]))
    assert torch.equal(norm.running_mean, before)

    x, held = feature(3), fifo(module, 3)
    mixed = module(x, held, torch.tensor([0, 2, 2])).feature
    after_mixed = norm.running_mean.clone()
    norm.running_mean.copy_(before)
    rest = StageFifo(held.key[1:], held.value[1:])
    alone = module(x[1:], rest, torch.tensor([2, 2])).feature
    assert not torch.equal(after_mixed, before)
    torch.testing.assert_close(after_mixed, norm.running_mean)
    assert torch.equal(mixed[0], x[0])
    torch.testing.assert_close(mixed[1:], alone)


@torch.no_grad()
def test_in_half_precision_an_empty_slot_weighs_nothing() -> None:
    module, x = make().half(), feature().half()
    held = StageFifo(*(t.half() for t in fifo(module, 1)))
    out = module(x, held, torch.tensor([1])).feature
    assert out.isfinite().all()
    assert torch.exp(torch.tensor(EMPTY_LOGIT, dtype=torch.float16)) == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"key_norm": "l2"}, "key_norm"),
        ({"mixing": "gate"}, "mixing"),
        ({"memory_value": "raw"}, "memory_value"),
        ({"attention_stride": 3}, "attention_stride"),
        ({"frames": 0}, "at least one frame"),
        ({"ratio": 0.0}, "ratio"),
    ],
)
def test_a_wrong_option_is_named(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        memory_options("default", **changes)


def test_presets_are_the_tables_columns() -> None:
    assert memory_options("release") == replace(
        MemoryOptions(), stages=(1, 2, 3), frames=1, **RELEASE
    )
    paper = memory_options("paper")
    assert (paper.judge, paper.key_norm, paper.mixing) == (True, "none", "add")
    assert not paper.enhanced_norm
    assert (paper.stages, paper.memory_value, paper.frames) == ((1, 2, 3, 4), "enhanced", 2)
    with pytest.raises(ValueError, match="default, paper, release"):
        memory_options("papers")
    assert MemoryOptions().selected(256) == 64


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"key_norm": "length", "mixing": "blend"},
        {"key_norm": "none", "memory_value": "enhanced"},
    ],
)
@torch.no_grad()
def test_under_autocast_memory_computes_in_float32(
    dtype: torch.dtype, changes: dict[str, object]
) -> None:
    module, x = make(**changes), feature().to(dtype)
    held = fifo(module, 1)
    exact = module(x.float(), held, torch.tensor([2]))
    with torch.autocast("cpu", dtype):
        ours = module(x, held, torch.tensor([2]))
    for name in ("key", "value", "judge"):
        assert torch.equal(getattr(ours, name), getattr(exact, name)), name
    assert ours.feature.dtype == dtype
    assert torch.equal(ours.feature, exact.feature.to(dtype))


def test_under_autocast_gradients_reach_the_key_in_float32() -> None:
    module, x = make().train(), feature().to(torch.bfloat16)
    held = fifo(module, 1)
    module(x.float(), held, torch.tensor([2])).feature.sum().backward()
    exact = [p.grad.clone() for p in module.parameters() if p.grad is not None]
    module.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        enhanced = module(x, held, torch.tensor([2]))
    enhanced.feature.float().sum().backward()
    ours = [p.grad for p in module.parameters() if p.grad is not None]
    assert len(ours) == len(exact) == 5
    for one, other in zip(ours, exact, strict=True):
        torch.testing.assert_close(one, other)


def test_devices_without_autocast_are_served_too() -> None:
    module = make().to("meta")
    held = StageFifo(*(t.to("meta") for t in fifo(module, 1)))
    shape = module(feature().to("meta"), held, torch.tensor([1], device="meta")).feature.shape
    assert shape == (1, CHANNELS, HEIGHT, WIDTH)
