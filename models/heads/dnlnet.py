"""DNLNet (Yin et al. 2020, disentangled non-local) with the layers of PaddleSeg."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.heads.base import ReleasePath, SupervisedHead
from models.layers import ConvBN, exactly
from models.memory import Attends, from_tokens, to_tokens

TEMPERATURE = 0.05
"""Divides the logits before the softmax, because whitened logits are small."""


class DNLNet(SupervisedHead):
    """Reads C4, in training also C3; logits (B, classes, h4, w4) at C4's size."""

    release_paths = (
        ReleasePath(r"reduce\.conv", r"conv0"),
        ReleasePath(r"block\.query", r"dnl_block.theta"),
        ReleasePath(r"block\.key", r"dnl_block.phi"),
        ReleasePath(r"block\.value", r"dnl_block.g"),
        ReleasePath(r"block\.unary", r"dnl_block.conv_mask"),
        ReleasePath(r"block\.project\.conv", r"dnl_block.conv_out"),
        ReleasePath(r"refine\.conv", r"conv1"),
        ReleasePath(r"fuse\.conv", r"conv_cat"),
        ReleasePath(r"classify", r"cls.1"),
        ReleasePath(r"supervision\.reduce\.conv", r"aux.0"),
        ReleasePath(r"supervision\.classify", r"aux.2"),
    )

    def __init__(self, channels: Sequence[int], classes: int, output_stride: int) -> None:
        del output_stride
        super().__init__(channels, classes)
        c_in, width = channels[3], channels[3] // 4
        self.reduce = ConvBN(c_in, width, 3)
        self.block = DisentangledNonLocal(width)
        self.refine = ConvBN(width, width, 3)
        self.fuse = ConvBN(c_in + width, width, 3)
        self.dropout = nn.Dropout2d(0.1)
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return logits (B, classes, h4, w4) of C1..C4 at C4's size."""
        c4 = features[3]
        context = self.refine(self.block(self.reduce(c4)))
        fused = self.fuse(torch.cat([c4, context], dim=1))
        logits: Tensor = self.classify(self.dropout(fused))
        return logits


class DisentangledNonLocal(Attends):
    """Attention of every position to the whole map: (B, c, h, w) -> the same shape.

    A whitened pairwise term models how positions differ, a unary term what all of them attend to
    (eq. 6 of Yin et al.). Both are computed in float32.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = channels // 2
        self.query = nn.Conv2d(channels, width, 1)
        self.key = nn.Conv2d(channels, width, 1)
        self.value = nn.Conv2d(channels, width, 1)
        self.unary = nn.Conv2d(channels, 1, 1)
        self.project = ConvBN(width, channels, 1)
        self.scale = 1 / (math.sqrt(width) * TEMPERATURE)

    def forward(self, x: Tensor) -> Tensor:
        convolutions = (self.query, self.key, self.value, self.unary)
        tokens = [to_tokens(convolution(x)).float() for convolution in convolutions]
        with exactly(x):
            context = self.gather(*tokens).to(x.dtype)
        projected: Tensor = self.project(from_tokens(context, x.shape[2], x.shape[3]))
        return x + projected

    def gather(self, query: Tensor, key: Tensor, value: Tensor, unary: Tensor) -> Tensor:
        """Return pairwise plus unary attention (B, N, c) of tokens (B, N, c), unary (B, N, 1)."""
        pairwise = self.attend(whiten(query) * self.scale, whiten(key), value)
        return pairwise + unary.softmax(dim=1).transpose(1, 2) @ value


def whiten(tokens: Tensor) -> Tensor:
    """Subtract the mean over the N positions from tokens (B, N, c)."""
    return tokens - tokens.mean(dim=1, keepdim=True)
