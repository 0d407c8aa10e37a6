"""Train a network: one iteration, the running average of its weights, its state."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from models.layers import resize
from models.segmenter import Features, Memory, Segmenter
from training.data.batches import Step
from training.data.datasets import VOID
from training.learning.lesson import Learned
from training.learning.lovasz import lovasz_softmax
from training.settings import TrainSettings, learning_rate, rate_shares

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""The type of each precision below float32."""

LOVASZ_STRIDE = 2
"""The stride of pixels in the Lovász loss, which sorts them once per class: a quarter suffices."""

CPU = torch.device("cpu")


class Learner:
    """Network, optimiser and running average; :meth:`learn` is one iteration on one time step.

    Raises ValueError if the batch is too small for the head.
    """

    def __init__(
        self,
        network: Segmenter,
        settings: TrainSettings,
        class_weights: Tensor,
        device: torch.device = CPU,
    ) -> None:
        if settings.batch < network.head.least_batch:
            raise ValueError(
                f"Set batch to at least {network.head.least_batch} with this head, not "
                f"{settings.batch}: batch norm cannot normalise the mean of a single picture."
            )
        self.network: Segmenter = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
        self.settings = settings
        self.class_weights = class_weights.to(device)
        self.device = device
        self.iteration = 0
        freeze(network, settings)
        regularise(network, settings)
        self.optimiser = make_optimiser(network, settings)
        self.scaler = torch.amp.GradScaler(device.type, enabled=settings.precision == "fp16")
        self.average = {k: v.detach().clone() for k, v in network.state_dict().items()}

    def learn(self, step: Step, memory: Memory) -> tuple[Learned, Memory]:
        """Run the forward and backward pass and update the weights.

        ``step`` and ``memory`` must be on the learner's device. Returns the results and the
        detached memory for the next time step.
        """
        train_mode(self.network, self.settings)
        self._set_rates()
        recalled = memory.forget(step.reset)
        with self._autocast():
            loss, features = self._forward(step, recalled)
        self._update(loss)
        self.iteration += 1
        self._average()
        judge = {stage: a.detach() for stage, a in features.judge.items()}
        return Learned(loss.detach(), judge, recalled.count), features.memory.detach()

    def blank(self) -> Memory:
        """Return the empty memory of a batch, in float32."""
        settings = self.settings
        return self.network.encoder.blank(settings.batch, *settings.crop, self.class_weights)

    def averaged(self) -> Segmenter:
        """Return a separate network with the averaged weights, in eval mode."""
        network = deepcopy(self.network)
        network.load_state_dict(self.average)
        return network.eval()

    def state(self) -> dict[str, Any]:
        """Return the state from which :meth:`restore` continues as if never interrupted."""
        return {
            "raw": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "iteration": self.iteration,
        }

    def restore(self, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Restore the result of :meth:`state`, from any device; ``weights`` are the average."""
        self.network.load_state_dict(state["raw"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state.get("scaler", {}))
        self.iteration = state["iteration"]
        self.average = {k: v.to(self.device, copy=True) for k, v in weights.items()}

    def _autocast(self) -> torch.autocast:
        dtype = AUTOCAST.get(self.settings.precision)
        return torch.autocast(self.device.type, dtype or torch.bfloat16, enabled=dtype is not None)

    def _forward(self, step: Step, memory: Memory) -> tuple[Tensor, Features]:
        image = self.network.normalise(step.frames).contiguous(memory_format=torch.channels_last)
        logits, features = self.network.logits(image, memory)
        return self._loss(logits, features, step.labels), features

    def _update(self, loss: Tensor) -> None:
        """Make one step of the optimiser; skip it if scaled fp16 gradients overflow."""
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.scaler.step(self.optimiser)
        self.scaler.update()

    def _loss(self, logits: Tensor, features: Features, labels: Tensor) -> Tensor:
        head = self.network.head
        loss = self._cross_entropy(logits, labels)
        if self.settings.lovasz:
            coarse = logits[..., ::LOVASZ_STRIDE, ::LOVASZ_STRIDE]
            known = labels[:, ::LOVASZ_STRIDE, ::LOVASZ_STRIDE]
            loss = loss + self.settings.lovasz * lovasz_softmax(coarse, known)
        for extra in head.auxiliary(features.maps) if head.auxiliary_weight else []:
            size = (labels.shape[1], labels.shape[2])
            loss = loss + head.auxiliary_weight * self._cross_entropy(resize(extra, size), labels)
        return loss

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss in float32; 0, not NaN, if no pixel is labelled."""
        loss = F.cross_entropy(logits.float(), labels.long(), self.class_weights, ignore_index=VOID)
        return torch.where((labels != VOID).any(), loss, 0.0)

    def _set_rates(self) -> None:
        rate = learning_rate(self.settings, self.iteration)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["share"]

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.settings.average, self.iteration / (self.iteration + 10))
        now = self.network.state_dict()
        moving = [n for n, v in now.items() if v.is_floating_point() and self.settings.average]
        if moving:
            follow = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            follow([self.average[n] for n in moving], [now[n] for n in moving], None)
        for name in now.keys() - moving:
            self.average[name].copy_(now[name])


def freeze(network: Segmenter, settings: TrainSettings) -> None:
    """Freeze the stem and the first stages of the trunk."""
    if not settings.frozen_stages:
        return
    trunk = network.encoder.trunk
    frozen = ["conv1", "bn1", *(f"layer{n}" for n in range(1, settings.frozen_stages + 1))]
    for name in frozen:
        trunk.get_submodule(name).requires_grad_(False)


def regularise(network: Segmenter, settings: TrainSettings) -> None:
    """Set the probabilities of stochastic depth in the trunk and of dropout in the head."""
    if settings.drop_path:
        network.encoder.trunk.skip_blocks(settings.drop_path)
    for module in network.head.modules():
        if isinstance(module, nn.Dropout):
            module.p = settings.dropout


def train_mode(network: Segmenter, settings: TrainSettings) -> None:
    """Set train mode; with ``frozen_norm`` the trunk's norms use their running statistics."""
    network.train()
    if settings.frozen_norm:
        for module in network.encoder.trunk.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def part_of(name: str) -> str:
    """Return a parameter's part: ``trunk``, ``memory`` or ``head``, as in :func:`rate_shares`."""
    parts = {"encoder.trunk.": "trunk", "encoder.pcma.": "memory"}
    return next((part for start, part in parts.items() if name.startswith(start)), "head")


def make_optimiser(network: Segmenter, settings: TrainSettings) -> torch.optim.Optimizer:
    """Return the optimiser, with separate rates for trunk, memory and head.

    Norms and biases have no weight decay.
    """
    shares = rate_shares(settings)
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            share = shares[part_of(name)]
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((share, decay), []).append(parameter)
    params = [
        {"params": of, "share": share, "weight_decay": decay}
        for (share, decay), of in groups.items()
    ]
    if settings.optimiser == "adamw":
        return torch.optim.AdamW(params, lr=settings.rate)
    return torch.optim.SGD(params, lr=settings.rate, momentum=0.9)
