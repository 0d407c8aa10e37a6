"""Partial Channel Memory Attention (PCMA) and its FIFO: the paper's section 3, one module a stage.

A stage's memory is a FIFO of T (key, value) entries, newest first, and one count a stream of how
many are filled. Everything here is state in, state out: :class:`PCMA` is given the FIFO of the
frames before and returns the entry of this one; :func:`push` makes the next FIFO.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import autocasts, exactly, resize
from models.options import MemoryOptions

KEY_SCALE = 10.0
"""The size of a normalised key, its sum or its length: attention logits lie in 0..100."""

EMPTY_LOGIT = -1e4
"""What an empty slot adds to its logits: exp of it is 0, and fp16 can hold it (-inf makes NaN)."""

MEAN_FLOOR = 1e-6
JUDGE_RANGE = (0.1, 0.9)

FIRST_SHARE = 0.5
"""Of what a blend holds, how much is memory's before anything is learnt."""

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""q (B, N, w), k (B, M, w), v (B, M, s) -> (B, N, s): softmax(q k^T) v, with no scaling."""


class StageFifo(NamedTuple):
    """One stage's memory, newest first: key (B, T, N, d) and value (B, T, N, s)."""

    key: Tensor
    value: Tensor


class Enhanced(NamedTuple):
    """What a PCMA step gives: the map, this frame's entry (B, N, .), the judge's ``a`` (B,)."""

    feature: Tensor
    key: Tensor
    value: Tensor
    judge: Tensor


class Attends(nn.Module):
    """A module with attention in it, whose kernel the export chooses."""

    def __init__(self) -> None:
        super().__init__()
        self.attend: Attend = attend


class PCMA(Attends):
    """One stage's attention to its memory: feature (B, c, h, w) -> the same shape, enhanced."""

    def __init__(self, channels: int, options: MemoryOptions) -> None:
        super().__init__()
        self.options = options
        self.width = options.selected(channels)
        self.key_width = self.width // 2
        stride = options.attention_stride
        # A 3x3 convolution and nearest down-sampling are one strided convolution.
        self.key_conv = nn.Conv2d(self.width, self.key_width, 3, stride, 1, bias=False)
        self.key_bn = nn.BatchNorm2d(self.key_width)
        self.norm = nn.BatchNorm2d(self.width) if options.enhanced_norm else nn.Identity()
        blends = options.mixing == "blend"
        self.share = nn.Parameter(torch.full((self.width,), FIRST_SHARE)) if blends else None
        self.attended_width = self.width

    def tokens(self, height: int, width: int) -> int:
        """Positions one entry holds for a stage's map of this size."""
        stride = self.options.attention_stride
        return -(-height // stride) * -(-width // stride)

    def forward(self, feature: Tensor, fifo: StageFifo, count: Tensor) -> Enhanced:
        """``count`` (B,) int64: entries of ``fifo`` that are filled. Slots beyond never matter.

        Under autocast it computes in float32 all the same, since bf16 keys put logits off by 3e-2:
        entries and ``judge`` are float32 then, the map has the feature's own type.
        """
        if not autocasts(feature):
            return self.enhance(feature, fifo, count)
        with exactly(feature):
            exact = StageFifo(fifo.key.float(), fifo.value.float())
            enhanced = self.enhance(feature.float(), exact, count)
        return enhanced._replace(feature=enhanced.feature.to(feature.dtype))

    def enhance(self, feature: Tensor, fifo: StageFifo, count: Tensor) -> Enhanced:
        """:meth:`forward` in the types of what is given."""
        passed, sel = torch.split(feature, [feature.shape[1] - self.width, self.width], dim=1)
        key = self.encode_key(sel)
        recalled = self.norm_recalled(self.recall(key, fifo, count), feature, count)
        mixed = self.mix(mean_scaled(recalled, sel), sel)
        judge = judge_statistic(mixed)
        mixed = torch.where(self.accepts(judge, count), mixed, sel)
        value = self.encode_value(sel if self.options.memory_value == "selected" else mixed)
        return Enhanced(torch.cat([passed, mixed], dim=1), to_tokens(key), value, judge)

    def encode_key(self, sel: Tensor) -> Tensor:
        """Selected channels (B, s, h, w) -> key map (B, d, h', w'), normalised over channels."""
        key = F.relu(self.key_bn(self.key_conv(sel)))
        return normalise_key(key, self.options.key_norm)

    def encode_value(self, sel: Tensor) -> Tensor:
        """(B, s, h, w) -> what the memory keeps of it, (B, N, s)."""
        stride = self.options.attention_stride
        return to_tokens(F.relu(sel[:, :, ::stride, ::stride]))

    def recall(self, query: Tensor, fifo: StageFifo, count: Tensor) -> Tensor:
        """Attention over all T*N remembered positions (eq. 2) -> map (B, s, h', w')."""
        batch, frames, tokens, _ = fifo.key.shape
        height, width = query.shape[2:]
        held = (torch.arange(frames, device=count.device) < count[:, None])[:, :, None, None]
        keys = torch.where(held, fifo.key, 0.0)
        values = torch.where(held, fifo.value, 0.0).reshape(batch, frames * tokens, self.width)
        empty = torch.where(held, 0.0, EMPTY_LOGIT).to(keys.dtype).expand(-1, -1, tokens, -1)
        keys = self._pad(keys, empty).reshape(batch, frames * tokens, self.attended_width)
        asked = to_tokens(query)
        asked = self._pad(asked, torch.ones_like(asked[..., :1]))
        return from_tokens(self.attend(asked, keys, values), height, width)

    def norm_recalled(self, recalled: Tensor, feature: Tensor, count: Tensor) -> Tensor:
        """To the feature's own size, then BN and ReLU where the options say so."""
        recalled = resize(recalled, feature)
        if not self.options.enhanced_norm:
            return recalled
        if self.training:
            return self._norm_held(recalled, count > 0)
        return F.relu(self.norm(recalled))

    def _norm_held(self, recalled: Tensor, held: Tensor) -> Tensor:
        """As above, but what empty memories recall stays out of the batch statistics."""
        if not bool(held.any()):
            return recalled
        normed = torch.zeros_like(recalled)
        normed[held] = F.relu(self.norm(recalled[held]))
        return normed

    def mix(self, scaled: Tensor, sel: Tensor) -> Tensor:
        """Eq. 3's sum, or a blend: memory's share of the one, the rest of the other."""
        more = scaled
        if self.share is not None:
            more = self.share[:, None, None].float() * (scaled - sel.float())
        return sel + more.to(sel.dtype)

    def accepts(self, judge: Tensor, count: Tensor) -> Tensor:
        """(B, 1, 1, 1) bool: may memory have its say? Not when empty; eq. 5 where it judges."""
        accepted = count > 0
        if self.options.judge:
            low, high = JUDGE_RANGE
            accepted = accepted & (judge > low) & (judge < high)
        return accepted[:, None, None, None]

    def _pad(self, x: Tensor, spare: Tensor) -> Tensor:
        """Queries and keys with zeros to ``attended_width``, which changes nothing: the scale is 1.

        That is the value's width, since most fused attention wants equal ones. The first spare
        channel carries the slot mask: 1 in the query, EMPTY_LOGIT in an empty slot's key, so that
        no mask tensor is needed.
        """
        rest = self.attended_width - self.key_width - 1
        return F.pad(torch.cat([x, spare], dim=-1), (0, rest))


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention without 1/sqrt(d) (eq. 2), by the fused kernel of the device."""
    q, k, v = (x[:, None] for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, scale=1.0)[:, 0]


def normalise_key(key: Tensor, norm: str) -> Tensor:
    """(B, d, h, w) over its channels, as :class:`MemoryOptions` names it, in float32."""
    if norm == "none":
        return key
    exact = key.float()
    normed = exact.softmax(dim=1) if norm == "softmax" else F.normalize(exact, dim=1)
    return (normed * KEY_SCALE).to(key.dtype)


def mean_scaled(recalled: Tensor, sel: Tensor) -> Tensor:
    """Eq. 3's ``E * mean(sel) / mean(E)``: per sample, in float32."""
    of_sel = sel.float().mean(dim=(1, 2, 3), keepdim=True)
    of_recalled = recalled.float().mean(dim=(1, 2, 3), keepdim=True).clamp(min=MEAN_FLOOR)
    # The ratio may be beyond fp16 where little was recalled; the product is not.
    return recalled.float() * (of_sel / of_recalled)


def judge_statistic(mixed: Tensor) -> Tensor:
    """Eq. 4, ``(mean - min) / (max - min)`` of each sample: (B, s, h, w) -> (B,)."""
    flat = mixed.flatten(1).float()
    low, high = flat.amin(dim=1), flat.amax(dim=1)
    return (flat.mean(dim=1) - low) / (high - low).clamp(min=MEAN_FLOOR)


def push(fifo: StageFifo, key: Tensor, value: Tensor) -> StageFifo:
    """The next FIFO: this frame's entry first, the oldest gone."""
    return StageFifo(
        torch.cat([key[:, None], fifo.key[:, :-1]], dim=1),
        torch.cat([value[:, None], fifo.value[:, :-1]], dim=1),
    )


def to_tokens(x: Tensor) -> Tensor:
    """(B, c, h, w) -> (B, h*w, c)."""
    return x.flatten(2).transpose(1, 2)


def from_tokens(x: Tensor, height: int, width: int) -> Tensor:
    """(B, h*w, c) -> (B, c, h, w)."""
    batch, _, channels = x.shape
    return x.transpose(1, 2).reshape(batch, channels, height, width)
