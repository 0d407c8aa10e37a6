"""One network being trained: its step, its average, its state."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import resize
from models.segmenter import Features, Memory, Segmenter
from training.batches import Step
from training.datasets import VOID
from training.settings import TrainSettings, learning_rate


class Learner:
    """Network, optimiser and running average. :meth:`learn` is one iteration on one instant."""

    def __init__(self, network: Segmenter, settings: TrainSettings, class_weights: Tensor) -> None:
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
        self.settings = settings
        self.class_weights = class_weights
        self.iteration = 0
        freeze(network, settings)
        self.optimiser = make_optimiser(network, settings)
        self.average = {k: v.detach().clone() for k, v in network.state_dict().items()}

    def learn(self, step: Step, memory: Memory) -> tuple[float, Memory]:
        """Forward, backward, update. Returns the loss and the detached memory to go on with."""
        train_mode(self.network, self.settings)
        self._set_rates()
        image = self.network.normalise(step.frames).contiguous(memory_format=torch.channels_last)
        logits, features = self.network.logits(image, memory.forget(step.reset))
        loss = self._loss(logits, features, step.labels)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.iteration += 1
        self._average()
        return float(loss.detach()), features.memory.detach()

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs to go on as if never interrupted."""
        return {
            "raw": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "iteration": self.iteration,
        }

    def restore(self, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["raw"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.iteration = state["iteration"]
        self.average = {k: v.clone() for k, v in weights.items()}

    def _loss(self, logits: Tensor, features: Features, labels: Tensor) -> Tensor:
        head = self.network.head
        loss = self._cross_entropy(logits, labels)
        for extra in head.auxiliary(features.maps) if head.auxiliary_weight else []:
            size = (labels.shape[1], labels.shape[2])
            loss = loss + head.auxiliary_weight * self._cross_entropy(resize(extra, size), labels)
        return loss

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels.long(), self.class_weights, ignore_index=VOID)

    def _set_rates(self) -> None:
        rate = learning_rate(self.settings, self.iteration)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["share"]

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.settings.average, self.iteration / (self.iteration + 10))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point() and self.settings.average:
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)


def freeze(network: Segmenter, settings: TrainSettings) -> None:
    """Take the stem and the first stages of the trunk out of training."""
    if not settings.frozen_stages:
        return
    trunk = network.encoder.trunk
    frozen = ["conv1", "bn1", *(f"layer{n}" for n in range(1, settings.frozen_stages + 1))]
    for name in frozen:
        trunk.get_submodule(name).requires_grad_(False)


def train_mode(network: Segmenter, settings: TrainSettings) -> None:
    """Train mode, with the trunk's batch norms on their running statistics where frozen."""
    network.train()
    if settings.frozen_norm:
        for module in network.encoder.trunk.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def make_optimiser(network: Segmenter, settings: TrainSettings) -> torch.optim.Optimizer:
    """Two rates (trunk; head and memory), no weight decay on norms and biases."""
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            share = settings.trunk_rate if name.startswith("encoder.trunk.") else 1.0
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((share, decay), []).append(parameter)
    params = [
        {"params": of, "share": share, "weight_decay": decay}
        for (share, decay), of in groups.items()
    ]
    if settings.optimiser == "adamw":
        return torch.optim.AdamW(params, lr=settings.rate)
    return torch.optim.SGD(params, lr=settings.rate, momentum=0.9)
