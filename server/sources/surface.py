"""Surface: a picture that a video decoder leaves on a device, and the matrices that make it RGB.

Cropping, bit depth, mirroring, rotation by 180 degrees, the doubling of chroma and scaling are all
linear in each direction. So one weight matrix for the rows and one for the bytes of a row express
them all; a third one, 3 x 3, converts the colours. A graph of matrix products (nv12_to_rgb.onnx) is
then enough for every format and size, on any device.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from server.sources.orientation import Orientation
from server.sources.pictures.picture import interpolation

Weights = NDArray[np.float32]

_KR_KB = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
_KR_KB[10] = _KR_KB[9]
_BT601 = (0.299, 0.114)
"""Shares of red and blue in luma by AVColorSpace (ITU-T H.273, table 4): BT.709, FCC, SMPTE 240M,
BT.2020; BT.601 for all others, as swscale does."""


@dataclass(frozen=True, slots=True)
class Plane:
    """``rows`` rows of ``pitch`` bytes from address ``pointer``; bytes beyond the picture's width
    are padding."""

    pointer: int
    rows: int
    pitch: int


@dataclass(frozen=True, slots=True)
class Layout:
    """A surface's layout in memory: (height, width) as stored, ``sample_bytes`` 1 for NV12 and 2
    for P010 (little endian, the value in the upper bits)."""

    height: int
    width: int
    luma_pitch: int
    chroma_pitch: int
    sample_bytes: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """One 4:2:0 picture, luma and interleaved chroma, on CUDA device ``device`` (or HOST).

    Convert and release it at once, because decoders have few of them. ``matrix`` is FFmpeg's
    AVColorSpace, ``full`` whether the range is 0..255 rather than 16..235. Writing it has finished.
    ``owner`` keeps it alive.
    """

    luma: Plane
    chroma: Plane
    height: int
    width: int
    sample_bytes: int
    matrix: int
    full: bool
    device: int
    owner: object

    @property
    def layout(self) -> Layout:
        return Layout(
            self.height, self.width, self.luma.pitch, self.chroma.pitch, self.sample_bytes
        )


@dataclass(frozen=True, slots=True, eq=False)
class Resampling:
    """The weights that convert a surface to (height, width) pixels, before transposing.

    ``luma_rows`` (a, H), ``luma_columns`` (1, luma pitch, b); ``chroma_rows`` (a, H/2),
    ``chroma_columns`` (2, chroma pitch, b): U, then V. (a, b) is (height, width), or (width,
    height) if ``turned``: then the result must be transposed.
    """

    luma_rows: Weights
    luma_columns: Weights
    chroma_rows: Weights
    chroma_columns: Weights
    turned: bool


def resampling(layout: Layout, turn: Orientation, height: int, width: int) -> Resampling:
    """Return the weights from a surface of this layout to the picture as displayed, scaled as by
    ``fit``."""
    shown = turn.size(layout.height, layout.width)
    down, across = scaling(shown, (height, width))
    turned = turn.clockwise in (90, 270)
    rows, columns = (across, down) if turned else (down, across)
    if turn.clockwise in (90, 180):
        rows = rows[:, ::-1]
    if (turn.clockwise in (180, 270)) != turn.mirrored:
        columns = columns[:, ::-1]
    return Resampling(
        luma_rows=np.ascontiguousarray(rows),
        luma_columns=_over_bytes(columns, layout.luma_pitch, layout.sample_bytes, channels=1),
        chroma_rows=np.ascontiguousarray(_pairs(rows)),
        chroma_columns=_over_bytes(
            _pairs(columns), layout.chroma_pitch, layout.sample_bytes, channels=2
        ),
        turned=turned,
    )


def colours(matrix: int, full: bool) -> tuple[Weights, Weights]:
    """Return weights (3, 3) and offset (3,) with RGB = YUV @ weights + offset, where all values are
    0..255 (ITU-T H.273, 8.3)."""
    kr, kb = _KR_KB.get(matrix, _BT601)
    kg = 1 - kr - kb
    luma, chroma, black = (1.0, 1.0, 0) if full else (255 / 219, 255 / 224, 16)
    red, blue = 2 * (1 - kr) * chroma, 2 * (1 - kb) * chroma
    weights = np.array(
        [[luma, luma, luma], [0, -blue * kb / kg, blue], [red, -red * kr / kg, 0]], np.float32
    )
    offset = -np.array([black, 128, 128], np.float32) @ weights
    return weights, offset


def scaling(shown: tuple[int, int], wanted: tuple[int, int]) -> tuple[Weights, Weights]:
    """Return the weights of OpenCV's scaling, (wanted, shown) for the rows and for the columns."""
    how = interpolation(shown, wanted)
    down, across = (
        cv2.resize(np.eye(source, dtype=np.float32), (source, target), interpolation=how)
        for source, target in zip(shown, wanted, strict=True)
    )
    return np.asarray(down, np.float32), np.asarray(across, np.float32)


def _pairs(weights: Weights) -> Weights:
    """Return the weights for samples that each cover two neighbours, as chroma's do."""
    return np.add.reduceat(weights, np.arange(0, weights.shape[1], 2), axis=1, dtype=np.float32)


def _over_bytes(weights: Weights, pitch: int, sample_bytes: int, channels: int) -> Weights:
    """Return weights (outputs, samples) as (channels, pitch, outputs), to apply to a row's bytes.

    The samples of ``channels`` channels are interleaved. The last byte of a sample has its full
    weight, the byte before it 1/256 of that.
    """
    outputs, samples = weights.shape
    spread = np.zeros((channels, pitch, outputs), np.float32)
    step = channels * sample_bytes
    for channel in range(channels):
        for byte in range(sample_bytes):
            place = channel * sample_bytes + byte
            share = np.float32(256.0 ** (byte - sample_bytes + 1))
            spread[channel, place : samples * step : step] = weights.T * share
    return spread
