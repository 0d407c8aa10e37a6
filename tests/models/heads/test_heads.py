"""Every head: its layer list, its published size, and the contract."""

from __future__ import annotations

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.backbone import STAGE_CHANNELS
from models.build import ENCODERS, HEADS, Recipe, build
from models.heads.base import Head
from models.release import load_release, release_shapes
from models.segmenter import Segmenter

CLASSES = 11

Layers = dict[str, tuple[int, ...]]
Shapes = dict[str, tuple[int, ...]]


def pyramid(path: str, c_out: int) -> Layers:
    """PPModule: four 1x1 on pooled maps, a 3x3 on all of it; all with a bias."""
    stages: Layers = {f"{path}.stages.{i}.1 +b": (512, 2048, 1, 1) for i in range(4)}
    return stages | {f"{path}.conv_bn_relu2 +b": (c_out, 4096, 3, 3)}


PSPNET: Layers = pyramid("psp_module", 1024) | {
    "conv": (CLASSES, 1024, 1, 1),
    "auxlayer.conv_bn_relu +b": (256, 1024, 3, 3),
    "auxlayer.conv": (CLASSES, 256, 1, 1),
}
SFNET: Layers = pyramid("ppm", 256) | {
    "fpn_in.0 seq": (256, 256, 1, 1),
    "fpn_in.1 seq": (256, 512, 1, 1),
    "fpn_in.2 seq": (256, 1024, 1, 1),
    **{f"fpn_out.{i}.0 +n": (256, 256, 3, 3) for i in range(3)},
    **{f"fpn_out_align.{i}.down_h bare": (128, 256, 1, 1) for i in range(3)},
    **{f"fpn_out_align.{i}.down_l bare": (128, 256, 1, 1) for i in range(3)},
    **{f"fpn_out_align.{i}.flow_make bare": (2, 256, 3, 3) for i in range(3)},
    "conv_last.0 +n": (256, 1024, 3, 3),
    "conv_last.1": (CLASSES, 256, 1, 1),
}
DNLNET: Layers = {
    "conv0 +n": (512, 2048, 3, 3),
    "dnl_block.theta": (256, 512, 1, 1),
    "dnl_block.phi": (256, 512, 1, 1),
    "dnl_block.g": (256, 512, 1, 1),
    "dnl_block.conv_mask": (1, 512, 1, 1),
    "dnl_block.conv_out +n": (512, 256, 1, 1),
    "conv1 +n": (512, 512, 3, 3),
    "conv_cat +n": (512, 2560, 3, 3),
    "cls.1": (CLASSES, 512, 1, 1),
    "aux.0 +n": (256, 1024, 3, 3),
    "aux.2": (CLASSES, 256, 1, 1),
}
LAYERS = {"pspnet1024": PSPNET, "sfnet": SFNET, "dnlnet": DNLNET}
"""Convolutions as PaddleSeg lists them: ``+n`` a norm follows, ``+b`` and there is a bias too,
``seq`` the same as items of a sequence, ``bare`` neither, else a bias alone."""


def parameters(layer: str, shape: tuple[int, ...]) -> Shapes:
    """Name -> shape of all that PaddleSeg keeps for one row of a layer list."""
    path, _, kind = layer.partition(" ")
    conv, norm = {"+n": ("._conv", "._batch_norm"), "+b": ("._conv", "._batch_norm"),
                  "seq": (".0", ".1")}.get(kind, ("", ""))  # fmt: skip
    kept: Shapes = {f"head.{path}{conv}.weight": shape}
    if kind not in {"+n", "bare"}:
        kept[f"head.{path}{conv}.bias"] = shape[:1]
    if norm:
        names = ("weight", "bias", "_mean", "_variance")
        kept |= {f"head.{path}{norm}.{name}": shape[:1] for name in names}
    return kept


def layer_list(head: str) -> Shapes:
    return {
        k: v for layer, shape in LAYERS[head].items() for k, v in parameters(layer, shape).items()
    }


def make(head: str, encoder: str = "ma-resnet50", device: str = "cpu") -> Segmenter:
    torch.manual_seed(0)
    with torch.device(device):
        return build(Recipe(head, encoder, CLASSES, 32)).eval()


@pytest.mark.parametrize("head", LAYERS)
def test_the_layer_list_is_paddlesegs_by_name_and_shape(head: str) -> None:
    ours = release_shapes(make(head, "ma-resnet50_vd", "meta"))
    assert {k: v for k, v in ours.items() if k.startswith("head.")} == layer_list(head)


def test_what_a_release_checkpoint_has_beyond_ours_is_left_alone() -> None:
    network = make("sfnet", "ma-resnet50_vd")
    state = {name: torch.rand(shape) for name, shape in release_shapes(network).items()}
    load_release(network, state | {"head.dsn.0.0.conv.bias": torch.rand(CLASSES)})
    norm = network.head.get_submodule("lateral.1.bn")
    folded = state["head.fpn_in.1.1._mean"] - state["head.fpn_in.1.0.bias"]
    torch.testing.assert_close(norm.running_mean, folded)
    loaded = network.head.get_parameter("classify.bias")
    assert torch.equal(loaded, state["head.conv_last.1.bias"])


def count(head: str, auxiliary: bool) -> float:
    """Million parameters of a head."""
    named = make(head, device="meta").head.named_parameters()
    return sum(p.numel() for n, p in named if auxiliary or not n.startswith("supervision")) / 1e6


@pytest.mark.parametrize(
    ("head", "auxiliary", "millions"),
    [
        ("deeplabv3plus", False, 3.19),
        ("pspnet1024", False, 41.96),
        ("pspnet", False, 23.08),
        ("sfnet", False, 18.44),
        ("dnlnet", True, 26.5),
    ],
)
def test_parameters_are_as_many_as_published(head: str, auxiliary: bool, millions: float) -> None:
    assert count(head, auxiliary) == pytest.approx(millions, rel=2e-3)


@pytest.mark.parametrize(
    ("head", "giga"),
    [
        ("deeplabv3plus", 20.1),
        ("pspnet1024", 241.7),
        ("sfnet", 149.8),
        ("dnlnet", 190),
    ],
)
def test_multiplications_are_as_many_as_published(head: str, giga: float) -> None:
    """At 640x640 and output stride 8; DNLNet's published count has its auxiliary head in it."""
    with torch.device("meta"):
        made: Head = build(Recipe(head, "resnet50", CLASSES, 8)).head.eval()
        sizes = (160, 80, 80, 80)
        maps = [torch.empty(1, c, s, s) for c, s in zip(STAGE_CHANNELS, sizes, strict=True)]
    with FlopCounterMode(display=False) as counter:
        made(maps)
        if head == "dnlnet":
            made.auxiliary(maps)
    assert counter.get_total_flops() / 2e9 == pytest.approx(giga, rel=3e-3)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("head", HEADS)
@torch.no_grad()
def test_every_head_reads_every_encoder_at_odd_sizes(head: str, encoder: str) -> None:
    made = make(head, encoder, "meta")
    memory = made.encoder.blank(2, 41, 55, torch.zeros((), device="meta"))
    frame = torch.zeros(2, 41, 55, 3, dtype=torch.uint8, device="meta")
    mask, kept = made.step(frame, memory)
    assert mask.shape == (2, 41, 55) and mask.dtype == torch.uint8
    stages = made.encoder.memory_stages
    assert stages == ((4,) if encoder.startswith("ma-") else ())
    assert [f.key.shape for f in kept.fifos] == [f.key.shape for f in memory.fifos]


@pytest.mark.parametrize(
    ("head", "stages"),
    [("deeplabv3plus", (1, 4)), ("pspnet", (3, 4)), ("sfnet", (1, 2, 3, 4)), ("dnlnet", (3, 4))],
)
def test_memory_may_stand_wherever_the_head_reads(head: str, stages: tuple[int, ...]) -> None:
    with torch.device("meta"):
        made = build(Recipe(head, classes=CLASSES, memory={"stages": None}))
    assert made.encoder.memory_stages == stages


@pytest.mark.parametrize("head", HEADS)
@torch.no_grad()
def test_memory_changes_what_every_head_says(head: str) -> None:
    made = make(head)
    frames = torch.randint(0, 256, (2, 1, 41, 55, 3), dtype=torch.uint8)
    blank = made.encoder.blank(1, 41, 55, torch.zeros(()))
    _, kept = made.step(frames[0], blank)
    image = made.normalise(frames[1])
    assert not torch.allclose(made.logits(image, blank)[0], made.logits(image, kept)[0])


@pytest.mark.parametrize("head", HEADS)
def test_losses_reach_every_weight_of_the_head(head: str) -> None:
    made = make(head).head.train()
    maps = [torch.rand(2, c, s, s + 1) for c, s in zip(STAGE_CHANNELS, (12, 6, 3, 3), strict=True)]
    extra = made.auxiliary(maps)
    assert bool(extra) == (made.auxiliary_weight > 0)
    sum((x.square().mean() for x in extra), made(maps).square().mean()).backward()
    reached = {n for n, p in made.named_parameters() if p.grad is not None}
    assert reached == {n for n, _ in made.named_parameters()}
    assert all(math.isfinite(float(p.grad.sum())) for p in made.parameters() if p.grad is not None)


@pytest.mark.parametrize("head", ["pspnet", "dnlnet"])
@torch.no_grad()
def test_the_auxiliary_loss_is_on_c3_and_weighs_less(head: str) -> None:
    made = make(head).head
    maps = [torch.rand(1, c, s, s) for c, s in zip(STAGE_CHANNELS, (8, 4, 3, 2), strict=True)]
    (logits,) = made.auxiliary(maps)
    assert logits.shape == (1, CLASSES, 3, 3) and made.auxiliary_weight == 0.4
    (others,) = made.auxiliary([torch.zeros_like(m) if m is not maps[2] else m for m in maps])
    assert torch.equal(logits, others)
