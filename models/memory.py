"""Partial Channel Memory Attention (PCMA) and its FIFO: section 3 of the paper.

There is one module per stage. A stage's memory is a FIFO of T (key, value) entries, newest first;
each stream has a count of the entries that are filled. Everything here takes state and returns
state: :class:`PCMA` takes the FIFO of the previous frames and returns the entry of this frame;
:func:`push` makes the next FIFO.
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
"""The sum or the length of a normalised key; attention logits therefore lie in 0..100."""

EMPTY_LOGIT = -1e4
"""Added to the logits of an empty slot. Its exp is 0 and fp16 can hold it; -inf would give NaN."""

MEAN_FLOOR = 1e-6
"""The smallest denominator of eq. 3 and eq. 4."""

JUDGE_RANGE = (0.1, 0.9)
"""The values of eq. 4 between which the judge accepts memory (eq. 5)."""

FIRST_SHARE = 0.5
"""The share of memory in a blend before training."""

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""q (B, N, w), k (B, M, w), v (B, M, s) -> (B, N, s): softmax(q k^T) v, without scaling."""


class StageFifo(NamedTuple):
    """One stage's memory, newest first: key (B, T, N, d) and value (B, T, N, s)."""

    key: Tensor
    value: Tensor


class Enhanced(NamedTuple):
    """The result of a PCMA step: ``feature`` (B, c, h, w) is the enhanced map.

    ``key`` (B, N, d) and ``value`` (B, N, s) are this frame's entry, ``judge`` (B,) is the judge's
    ``a`` (eq. 4).
    """

    feature: Tensor
    key: Tensor
    value: Tensor
    judge: Tensor


class Attends(nn.Module):
    """A module with attention; export replaces the function that computes it."""

    def __init__(self) -> None:
        super().__init__()
        self.attend: Attend = attend


class PCMA(Attends):
    """The attention of one stage to its memory: feature (B, c, h, w) -> enhanced, same shape."""

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
        """Return N, the number of positions in one entry for a map of this height and width."""
        stride = self.options.attention_stride
        return -(-height // stride) * -(-width // stride)

    def forward(self, feature: Tensor, fifo: StageFifo, count: Tensor) -> Enhanced:
        """Enhance ``feature`` (B, c, h, w) with the memory of the previous frames.

        ``count`` (B,) int64 is the number of entries of ``fifo`` that are filled; the contents of
        the other slots never matter. Under autocast, PCMA still computes in float32, since bf16
        keys would change the logits by 3e-2: the entry and ``judge`` are then float32, and the map
        has the type of ``feature``.
        """
        if not autocasts(feature):
            return self.enhance(feature, fifo, count)
        with exactly(feature):
            exact = StageFifo(fifo.key.float(), fifo.value.float())
            enhanced = self.enhance(feature.float(), exact, count)
        return enhanced._replace(feature=enhanced.feature.to(feature.dtype))

    def enhance(self, feature: Tensor, fifo: StageFifo, count: Tensor) -> Enhanced:
        """Do what :meth:`forward` does, in the types of the arguments."""
        passed, sel = torch.split(feature, [feature.shape[1] - self.width, self.width], dim=1)
        key = self.encode_key(sel)
        recalled = self.norm_recalled(self.recall(key, fifo, count), feature, count)
        mixed = self.mix(mean_scaled(recalled, sel), sel)
        judge = judge_statistic(mixed)
        mixed = torch.where(self.accepts(judge, count), mixed, sel)
        value = self.encode_value(sel if self.options.memory_value == "selected" else mixed)
        return Enhanced(torch.cat([passed, mixed], dim=1), to_tokens(key), value, judge)

    def encode_key(self, sel: Tensor) -> Tensor:
        """Return the key map (B, d, h', w') of the selected channels (B, s, h, w).

        It is normalised over its channels. h' and w' are h and w over the attention stride.
        """
        key = F.relu(self.key_bn(self.key_conv(sel)))
        return normalise_key(key, self.options.key_norm)

    def encode_value(self, sel: Tensor) -> Tensor:
        """Return the value (B, N, s) that memory stores of (B, s, h, w)."""
        stride = self.options.attention_stride
        return to_tokens(F.relu(sel[:, :, ::stride, ::stride]))

    def recall(self, query: Tensor, fifo: StageFifo, count: Tensor) -> Tensor:
        """Attend to all T*N positions in memory (eq. 2).

        ``query`` is the key map (B, d, h', w') of this frame; returns a map (B, s, h', w').
        """
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
        """Resize ``recalled`` to the size of ``feature``; apply BN and ReLU if so configured."""
        recalled = resize(recalled, feature)
        if not self.options.enhanced_norm:
            return recalled
        if self.training:
            return self._norm_held(recalled, count > 0)
        return F.relu(self.norm(recalled))

    def _norm_held(self, recalled: Tensor, held: Tensor) -> Tensor:
        """Apply BN and ReLU; ``held`` (B,) keeps empty memories out of the batch statistics."""
        if not bool(held.any()):
            return recalled
        normed = torch.zeros_like(recalled)
        normed[held] = F.relu(self.norm(recalled[held]))
        return normed

    def mix(self, scaled: Tensor, sel: Tensor) -> Tensor:
        """Return the sum of eq. 3, or a blend with the share that each channel has learnt."""
        more = scaled
        if self.share is not None:
            more = self.share[:, None, None].float() * (scaled - sel.float())
        return sel + more.to(sel.dtype)

    def accepts(self, judge: Tensor, count: Tensor) -> Tensor:
        """Return whether memory may change each sample, (B, 1, 1, 1) bool.

        An empty memory may not. With the judge, eq. 5 decides about the others.
        """
        accepted = count > 0
        if self.options.judge:
            low, high = JUDGE_RANGE
            accepted = accepted & (judge > low) & (judge < high)
        return accepted[:, None, None, None]

    def _pad(self, x: Tensor, spare: Tensor) -> Tensor:
        """Pad queries or keys with zeros to ``attended_width``; with scale 1 that is exact.

        By default that is the width of the values, since most fused attention kernels need equal
        widths. The first spare channel carries the slot mask, so no mask tensor is needed: it is
        1 in a query, EMPTY_LOGIT in the keys of an empty slot and 0 in those of a filled one.
        """
        rest = self.attended_width - self.key_width - 1
        return F.pad(torch.cat([x, spare], dim=-1), (0, rest))


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Compute attention without 1/sqrt(d) (eq. 2) with the fused kernel of the device.

    Shapes as for :data:`Attend`.
    """
    q, k, v = (x[:, None] for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, scale=1.0)[:, 0]


def normalise_key(key: Tensor, norm: str) -> Tensor:
    """Normalise a key map (B, d, h, w) over its channels, computed in float32.

    ``norm`` is one of KEY_NORMS in models.options.
    """
    if norm == "none":
        return key
    exact = key.float()
    normed = exact.softmax(dim=1) if norm == "softmax" else F.normalize(exact, dim=1)
    return (normed * KEY_SCALE).to(key.dtype)


def mean_scaled(recalled: Tensor, sel: Tensor) -> Tensor:
    """Return ``E * mean(sel) / mean(E)`` of eq. 3, with means per sample, in float32.

    Both arguments and the result are (B, s, h, w). Each mean is over (s, h, w).
    """
    of_sel = sel.float().mean(dim=(1, 2, 3), keepdim=True)
    of_recalled = recalled.float().mean(dim=(1, 2, 3), keepdim=True).clamp(min=MEAN_FLOOR)
    # If little was recalled, the ratio may exceed fp16; the product does not.
    return recalled.float() * (of_sel / of_recalled)


def judge_statistic(mixed: Tensor) -> Tensor:
    """Return ``(mean - min) / (max - min)`` (eq. 4) of each sample: (B, s, h, w) -> (B,)."""
    flat = mixed.flatten(1).float()
    low, high = flat.amin(dim=1), flat.amax(dim=1)
    return (flat.mean(dim=1) - low) / (high - low).clamp(min=MEAN_FLOOR)


def push(fifo: StageFifo, key: Tensor, value: Tensor) -> StageFifo:
    """Return the next FIFO: this frame's entry is first, the oldest one is removed.

    ``key`` is (B, N, d), ``value`` (B, N, s).
    """
    return StageFifo(
        torch.cat([key[:, None], fifo.key[:, :-1]], dim=1),
        torch.cat([value[:, None], fifo.value[:, :-1]], dim=1),
    )


def to_tokens(x: Tensor) -> Tensor:
    """Reshape a map (B, c, h, w) to tokens (B, h*w, c)."""
    return x.flatten(2).transpose(1, 2)


def from_tokens(x: Tensor, height: int, width: int) -> Tensor:
    """Reshape tokens (B, h*w, c) to a map (B, c, h, w)."""
    batch, _, channels = x.shape
    return x.transpose(1, 2).reshape(batch, channels, height, width)
