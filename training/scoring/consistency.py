"""Video consistency (VC) of VSPW (Miao et al. 2021): are masks as steady as the truth is?

Of a window of n consecutive frames, VC_n looks at the pixels whose truth is one class in all n,
and gives the share whose mask is that class in all n. Averaged over all windows of all dense clips;
a window with no such pixel is left out. Void is no class: a pixel that is void in any of the n
frames does not count.

VSPW's own script (VC_perclip.py) differs, and so do published numbers, which are made with it: it
asks of the mask only that it stay the same, right or wrong, counts pixels that stay void, and skips
each clip's last window. ``unchanged`` is that share, of all windows.

One pass suffices for every n: each pixel remembers for how many frames it has been so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.labels import VOID, Labels

WINDOWS = (8, 16)

Streak = NDArray[np.int32]
"""(h, w): for how many frames, up to this one, something has held at a pixel."""


@dataclass(frozen=True, slots=True)
class Streaks:
    """A clip up to a frame: its truth and mask, and for how long they have been so.

    ``right``: truth and mask are the same class; ``truth_kept``, ``mask_kept``: as in the frame
    before.
    """

    truth: Labels
    mask: Labels
    right: Streak
    truth_kept: Streak
    mask_kept: Streak


@dataclass(frozen=True, slots=True)
class Consistency:
    """Sums over ``windows`` windows of ``right`` shares, over ``kept`` ones of ``unchanged``."""

    right: float = 0.0
    windows: int = 0
    unchanged: float = 0.0
    kept: int = 0

    @property
    def score(self) -> float | None:
        """VC_n, a share; None where there was no window."""
        return self.right / self.windows if self.windows else None

    @property
    def unchanged_score(self) -> float | None:
        """What VSPW's script would say, a share."""
        return self.unchanged / self.kept if self.kept else None


def follow(before: Streaks | None, truth: Labels, mask: Labels) -> Streaks:
    """The clip one frame on; ``before`` is None where it begins."""
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
    """With the window of ``frames`` frames that ends here, if the clip has come so far."""
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
