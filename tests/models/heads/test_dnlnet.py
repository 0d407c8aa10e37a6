"""The disentangled non-local block, written out the long way."""

from __future__ import annotations

import pytest
import torch

from models.heads.dnlnet import DisentangledNonLocal, whiten


def make(channels: int = 512) -> DisentangledNonLocal:
    torch.manual_seed(0)
    return DisentangledNonLocal(channels).eval()


@torch.no_grad()
def test_a_position_gathers_by_pairs_and_by_the_unary_term() -> None:
    block, x = make(), torch.randn(2, 512, 3, 5)
    query, key, value = (c(x).flatten(2) for c in (block.query, block.key, block.value))
    query = query - query.mean(dim=2, keepdim=True)
    key = key - key.mean(dim=2, keepdim=True)
    logits = torch.einsum("bci,bcj->bij", query, key) / 256**0.5 / 0.05
    pairwise = torch.einsum("bij,bcj->bci", logits.softmax(dim=2), value)
    weights = block.unary(x).flatten(2).softmax(dim=2)
    unary = (weights * value).sum(dim=2, keepdim=True)
    wanted = x + block.project((pairwise + unary).reshape(2, 256, 3, 5))
    torch.testing.assert_close(block(x), wanted, rtol=1e-4, atol=1e-5)


def test_whitened_tokens_have_no_mean() -> None:
    tokens = torch.randn(2, 35, 8) + 5
    assert whiten(tokens).mean(dim=1).abs().max() < 1e-5


@torch.no_grad()
def test_whitening_takes_the_biases_of_query_and_key_away() -> None:
    block, x = make(), torch.randn(1, 512, 4, 6)
    before = block(x)
    for convolution in (block.query, block.key):
        assert convolution.bias is not None
        convolution.bias += 3.0
    torch.testing.assert_close(block(x), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_attention_is_float32_whatever_the_map_is(dtype: torch.dtype) -> None:
    block, seen = make(), []
    kernel = block.attend

    def watched(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        seen.append(q.dtype)
        return kernel(q, k, v)

    block.attend = watched
    x = torch.randn(1, 512, 4, 6)
    exact = block(x)
    with torch.autocast("cpu", dtype):
        block(x)
    half = block.to(dtype)(x.to(dtype))
    assert half.dtype == dtype and set(seen) == {torch.float32}
    torch.testing.assert_close(half.float(), exact, rtol=5e-2, atol=5e-2)
