"""An artefact's network made fit to learn on: batch norms put back where export folded them away.

Folded, a convolution's output has the scale that its norm gave it, and a fresh norm behind it would
undo what was learned. Each norm is given the statistics that its convolution's output has over
pictures of the data set, and the scale and shift that take them back. So the network computes what
it did, and its weights get the size of freshly drawn ones, which learning rates are meant for.
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
    """Of a convolution's output, by channel: how many values, their sum, the sum of squares."""

    count: int = 0
    total: Tensor | float = 0.0
    squares: Tensor | float = 0.0

    def take(self, _module: nn.Module, _given: tuple[Tensor, ...], output: Tensor) -> None:
        """As a forward hook. In float64: variances are differences."""
        values = output.detach().double().transpose(0, 1).flatten(1)
        self.count += values.shape[1]
        self.total = self.total + values.sum(dim=1)
        self.squares = self.squares + values.square().sum(dim=1)

    def told(self) -> tuple[Tensor, Tensor]:
        """Mean and variance (channels,)."""
        mean = torch.as_tensor(self.total / self.count)
        return mean, torch.as_tensor(self.squares / self.count) - mean.square()


def unfold(folded: Segmenter, recipe: Recipe, pictures: Sequence[Tensor]) -> Segmenter:
    """The network of ``recipe`` in eval mode, which computes what ``folded`` does.

    ``pictures`` are uint8 (H, W, 3) of one size; two dozen of a data set tell enough.
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
        if norm is not None and seen[name].count:  # what only training runs is fresh
            bias = folded.get_parameter(f"{name}.bias").detach().double()
            _split(convolution, norm, bias, *seen[name].told())
    return network


@torch.no_grad()
def measure(
    modules: dict[str, nn.Module], network: Segmenter, pictures: Sequence[Tensor]
) -> dict[str, Moments]:
    """What comes out of each module while ``network`` looks at the pictures, memory empty."""
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
    """W x + b as a convolution of W/s and a norm that multiplies by s and adds b."""
    weight = convolution.weight.double()
    usual = (3 * weight[0].numel()) ** -0.5  # what nn.Conv2d draws
    size = (weight.flatten(1).square().mean(dim=1).sqrt() / usual).clamp(min=1e-6)
    mean, variance = (mean - bias) / size, variance.clamp(min=0) / size.square()
    convolution.weight.copy_(weight / size.view(-1, 1, 1, 1))
    norm.running_mean.copy_(mean)  # type: ignore[union-attr]  # ours track statistics
    norm.running_var.copy_(variance)  # type: ignore[union-attr]
    norm.weight.copy_(size * (variance + norm.eps).sqrt())
    norm.bias.copy_(bias + size * mean)
