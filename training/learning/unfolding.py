"""Restore the batch norms that export folded, so that an artefact's network can be trained.

With its norm folded, the output of a convolution has the norm's scale, and a fresh norm after it
would undo what was learned. Each restored norm gets the statistics of its convolution's output over
pictures of the dataset, and the scale and shift that cancel them. The network thus computes the
same as before, and its weights have the size of freshly initialised ones, for which learning rates
are chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.build import Recipe, build
from models.layers import norm_after
from models.segmenter import Segmenter

BATCH = 4


@dataclass
class Moments:
    """Count, sum and sum of squares of a convolution's output per channel."""

    count: int = 0
    total: Tensor | float = 0.0
    squares: Tensor | float = 0.0

    def take(self, _module: nn.Module, _given: tuple[Tensor, ...], output: Tensor) -> None:
        """Add an output (B, c, h, w); this is a forward hook.

        Sums are in float64, because the variance is a difference of them.
        """
        values = output.detach().double().transpose(0, 1).flatten(1)
        self.count += values.shape[1]
        self.total = self.total + values.sum(dim=1)
        self.squares = self.squares + values.square().sum(dim=1)

    def mean_and_variance(self) -> tuple[Tensor, Tensor]:
        """Return mean and variance, each (channels,)."""
        mean = torch.as_tensor(self.total / self.count)
        return mean, torch.as_tensor(self.squares / self.count) - mean.square()


def unfold(folded: Segmenter, recipe: Recipe, pictures: Sequence[Tensor]) -> Segmenter:
    """Return the network of ``recipe`` in eval mode, which computes what ``folded`` computes.

    ``pictures`` are uint8 RGB (H, W, 3) of one size; two dozen from a dataset suffice.
    """
    network = build(recipe).eval()
    ours, theirs = dict(network.named_modules()), dict(folded.named_modules())
    convolutions = {name: m for name, m in ours.items() if isinstance(m, nn.Conv2d)}
    seen = measure({name: theirs[name] for name in convolutions}, folded, pictures)
    weights = network.state_dict() | {
        name: held for name, held in folded.state_dict().items() if name in network.state_dict()
    }
    network.load_state_dict(weights)
    for name, convolution in convolutions.items():
        norm = norm_after(name, ours)
        if norm is not None and seen[name].count:  # modules that only training runs stay fresh
            bias = folded.get_parameter(f"{name}.bias").detach().double()
            _split(convolution, norm, bias, *seen[name].mean_and_variance())
    return network


@torch.no_grad()
def measure(
    modules: dict[str, nn.Module], network: Segmenter, pictures: Sequence[Tensor]
) -> dict[str, Moments]:
    """Return the moments of each module's output while ``network`` runs with an empty memory."""
    seen = {name: Moments() for name in modules}
    hooks = [module.register_forward_hook(seen[name].take) for name, module in modules.items()]
    height, width = pictures[0].shape[:2]
    for start in range(0, len(pictures), BATCH):
        frames = torch.stack(list(pictures[start : start + BATCH]))
        network.step(frames, network.encoder.blank(len(frames), height, width, network.mean))
    for hook in hooks:
        hook.remove()
    return seen


@torch.no_grad()
def _split(
    convolution: nn.Conv2d, norm: nn.BatchNorm2d, bias: Tensor, mean: Tensor, variance: Tensor
) -> None:
    """Split W x + b into a convolution with W/s and a norm that multiplies by s and adds b."""
    weight = convolution.weight.double()
    usual = (3 * weight[0].numel()) ** -0.5  # the standard deviation of nn.Conv2d's fresh weights
    size = (weight.flatten(1).square().mean(dim=1).sqrt() / usual).clamp(min=1e-6)
    mean, variance = (mean - bias) / size, variance.clamp(min=0) / size.square()
    convolution.weight.copy_(weight / size.view(-1, 1, 1, 1))
    norm.running_mean.copy_(mean)  # type: ignore[union-attr]  # ours track statistics
    norm.running_var.copy_(variance)  # type: ignore[union-attr]
    norm.weight.copy_(size * (variance + norm.eps).sqrt())
    norm.bias.copy_(bias + size * mean)
