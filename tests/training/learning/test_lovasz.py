import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.datasets import VOID
from training.learning.lovasz import jaccard_steps, lovasz_softmax

SURE = 1e4
"""Logits so far apart that a softmax of them is 0 or 1 exactly."""


def hard(mask: torch.Tensor, classes: int) -> torch.Tensor:
    return SURE * torch.nn.functional.one_hot(mask, classes).movedim(-1, 1).float()


def jaccard(mask: torch.Tensor, truth: torch.Tensor) -> float:
    """The mean of 1 - IoU over the classes that occur, from its definition."""
    mask = mask[truth != VOID]
    truth = truth[truth != VOID]
    losses = []
    for c in truth.unique():
        intersection = ((mask == c) & (truth == c)).sum()
        union = ((mask == c) | (truth == c)).sum()
        losses.append(1 - intersection / union)
    return float(torch.stack(losses).mean())


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_on_hard_masks_it_is_one_minus_the_mean_iou(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, 4, (2, 5, 7), generator=draw)
    truth[0, 0] = VOID
    mask = torch.randint(0, 4, (2, 5, 7), generator=draw)
    assert float(lovasz_softmax(hard(mask, 4), truth)) == pytest.approx(
        jaccard(mask, truth), abs=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_it_computes_in_float32(dtype: torch.dtype) -> None:
    """A pixel's step is about one over their number, which float16 does not hold."""
    torch.manual_seed(0)
    logits, truth = torch.randn(1, 11, 96, 128), torch.randint(0, 11, (1, 96, 128))
    with torch.autocast("cpu", dtype):
        halved = lovasz_softmax(logits, truth)
    assert halved.dtype == torch.float32
    assert torch.equal(halved, lovasz_softmax(logits, truth))


def test_a_right_mask_costs_nothing() -> None:
    truth = torch.arange(12).reshape(1, 3, 4) % 3
    assert float(lovasz_softmax(hard(truth, 3), truth)) == 0


def test_steps_of_all_pixels_make_up_the_whole_loss() -> None:
    steps = jaccard_steps(torch.tensor([1.0, 0, 0, 1, 0]))
    assert float(steps.sum()) == pytest.approx(1.0)
    assert bool((steps >= 0).all())


def test_it_falls_where_a_gradient_is_followed() -> None:
    torch.manual_seed(0)
    truth = torch.randint(0, 3, (1, 6, 6))
    logits = torch.zeros(1, 3, 6, 6, requires_grad=True)
    before = lovasz_softmax(logits, truth)
    before.backward()
    assert logits.grad is not None
    after = lovasz_softmax(logits - 10 * logits.grad, truth)
    assert float(after.detach()) < float(before.detach())


def test_nothing_labelled_costs_nothing_and_breaks_no_gradient() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = lovasz_softmax(logits, torch.full((1, 4, 4), VOID))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())
