"""Video consistency (VC) of VSPW (Miao et al. 2021): are masks as steady as the truth?

In a window of n consecutive frames, VC_n considers the pixels whose truth is one class in all n
frames; it is the share of them whose mask is that class in all n frames. It is averaged over all
windows of all dense clips; a window without such a pixel is left out. Void is not a class: a pixel
that is void in any of the n frames does not count.

VSPW's own script (VC_perclip.py), with which published numbers are made, differs: it requires only
that the mask stays the same, right or wrong, counts pixels that stay void, and skips the last
window of each clip. ``unchanged`` is that share, over all windows.

One pass suffices for every n, because each pixel counts the frames since its last change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.labels import VOID, Labels

WINDOWS = (8, 16)

Streak = NDArray[np.int32]
"""(h, w): the number of consecutive frames, up to this one, in which a condition holds."""


@dataclass(frozen=True, slots=True)
class Streaks:
    """The truth and mask of a clip's latest frame, and how long conditions have held.

    ``right``: truth and mask are the same class; ``truth_kept``, ``mask_kept``: truth or mask are
    the same as in the previous frame.
    """

    truth: Labels
    mask: Labels
    right: Streak
    truth_kept: Streak
    mask_kept: Streak


@dataclass(frozen=True, slots=True)
class Consistency:
    """Sums of shares: ``right`` over ``windows`` windows, ``unchanged`` over ``kept`` windows."""

    right: float = 0.0
    windows: int = 0
    unchanged: float = 0.0
    kept: int = 0

    @property
    def score(self) -> float | None:
        """VC_n, 0..1; None if there was no window."""
        return self.right / self.windows if self.windows else None

    @property
    def unchanged_score(self) -> float | None:
        """The share that VSPW's script counts, 0..1; None if there was no window."""
        return self.unchanged / self.kept if self.kept else None


def follow(before: Streaks | None, truth: Labels, mask: Labels) -> Streaks:
    """Return the streaks after one more frame; ``before`` is None for a clip's first frame."""
    right = (truth == mask) & (truth != VOID)
    if before is None:
        one = np.ones(truth.shape, np.int32)
        return Streaks(truth, mask, right.astype(np.int32), one, one)
    return Streaks(
        truth,
        mask,
        np.where(right, before.right + 1, 0),
        np.where(truth == before.truth, before.truth_kept + 1, 1),
        np.where(mask == before.mask, before.mask_kept + 1, 1),
    )


def add_window(sums: Consistency, streaks: Streaks, frames: int) -> Consistency:
    """Add the window of ``frames`` frames that ends here, if the clip is long enough."""
    kept = streaks.truth_kept >= frames
    steady = kept & (streaks.truth != VOID)
    right = _share(streaks.right >= frames, steady)
    unchanged = _share(streaks.mask_kept >= frames, kept)
    return Consistency(
        sums.right + (right or 0.0),
        sums.windows + (right is not None),
        sums.unchanged + (unchanged or 0.0),
        sums.kept + (unchanged is not None),
    )


def _share(held: NDArray[np.bool_], among: NDArray[np.bool_]) -> float | None:
    total = int(among.sum())
    return float((held & among).sum() / total) if total else None
