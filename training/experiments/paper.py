"""The paper's Tables 1 to 5, exactly as printed, to show next to our results.

mIoU is in %, on CamVid at 960x720 and on VSPW-person at 640x640; frames per second are on one V100.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

SETTING = (
    "paper: as printed there. Its CamVid figures are for 960x720 and the release's own split, "
    "which is not the standard one, so ours cannot be compared with them; its VSPW-person figures "
    "are for 640x640."
)

FRAMES = (1, 2, 3)
"""T of Tables 2 and 4."""
RATIOS = (0.125, 0.25, 0.5)
"""r of Tables 3 and 4."""


@dataclass(frozen=True)
class Printed:
    """One cell of Table 1: mIoU in %, and frames per second on one V100."""

    miou: Decimal
    fps: Decimal


@dataclass(frozen=True)
class Comparison:
    """One line of Table 1: a head on ResNet-50 and on MA-ResNet50, and the gain in mIoU."""

    dataset: str
    head: str
    plain: Printed
    remembering: Printed
    gain: Decimal


@dataclass(frozen=True)
class Sweep:
    """One line of Table 2 or 3: mIoU in % for each value of one option of the memory."""

    dataset: str
    head: str
    miou: Mapping[float, Decimal]


@dataclass(frozen=True)
class Extra:
    """One cell of Table 4: the cost of memory in G, and the total in % of ResNet-50's own cost."""

    added: Decimal
    share: Decimal


@dataclass(frozen=True)
class Method:
    """One line of Table 5: a video segmentation method and its mIoU in % on CamVid."""

    name: str
    miou: Decimal


def _line(dataset: str, head: str, printed: str) -> Comparison:
    """Read mIoU and fps of ResNet-50, the same of MA-ResNet50, and the gain."""
    plain, plain_fps, miou, fps, gain = map(Decimal, printed.split())
    return Comparison(dataset, head, Printed(plain, plain_fps), Printed(miou, fps), gain)


def _sweep(dataset: str, head: str, values: Sequence[float], printed: str) -> Sweep:
    """Read one mIoU for each of ``values``."""
    return Sweep(dataset, head, dict(zip(values, map(Decimal, printed.split()), strict=True)))


def _extra(printed: str) -> Extra:
    """Read G and %."""
    return Extra(*map(Decimal, printed.split()))


TABLE_1 = (
    _line("camvid", "deeplabv3plus", "73.77 45.78  75.02 38.60  1.25"),
    _line("camvid", "pspnet", "69.61 46.14  71.39 42.60  1.78"),
    _line("camvid", "sfnet", "75.55 12.99  77.05 11.55  1.50"),
    _line("vspw-person", "deeplabv3plus", "81.79 43.45  83.10 37.27  1.31"),
    _line("vspw-person", "pspnet", "75.95 45.35  78.52 42.08  2.57"),
    _line("vspw-person", "dnlnet", "78.94 11.79  80.82 10.88  1.88"),
)
"""mIoU and speed by head and encoder."""

TABLE_2 = (
    _sweep("vspw-person", "deeplabv3plus", FRAMES, "83.1  83.09 83.09"),
    _sweep("vspw-person", "pspnet", FRAMES, "78.47 78.52 78.48"),
    _sweep("vspw-person", "dnlnet", FRAMES, "80.81 80.82 80.81"),
)
"""mIoU over T, the number of frames in memory."""

TABLE_3 = (
    _sweep("camvid", "pspnet", RATIOS, "71.3 71.39 71.25"),
    _sweep("camvid", "sfnet", RATIOS, "77   77.05 76.27"),
)
"""mIoU over r, the share of channels in memory."""

TABLE_4 = {
    (1, 0.125): _extra("4.11 102.59"),
    (1, 0.25): _extra("11.07 107.08"),
    (1, 0.5): _extra("33.47 121.13"),
    (2, 0.125): _extra("6.82 104.43"),
    (2, 0.25): _extra("16.47 110.38"),
    (2, 0.5): _extra("44.29 128.03"),
    (3, 0.125): _extra("9.52 106.01"),
    (3, 0.25): _extra("21.88 113.8"),
    (3, 0.5): _extra("55.1 134.8"),
}
"""The cost of memory by T and r."""

TABLE_5 = (
    Method("GRFP", Decimal("66.10")),
    Method("Netwarp", Decimal("67.10")),
    Method("TDNet", Decimal("76.00")),
    Method("TMANet", Decimal("76.50")),
    Method("the paper: MA-ResNet50, sfnet", Decimal("77.05")),
)
"""Other methods and the paper's best network on CamVid."""
