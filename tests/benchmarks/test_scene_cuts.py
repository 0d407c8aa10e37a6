from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks.scene_cuts import Score, matches


@pytest.mark.parametrize(
    ("cuts", "reports", "found"),
    [
        ([], [], 0),
        ([5], [5], 1),
        ([5], [7], 1),
        ([5], [8], 0),
        ([5], [4], 0),
        ([5], [4, 5, 6], 1),
        ([5, 6], [6], 1),
        ([5, 6], [6, 7], 2),
        ([], [3], 0),
    ],
)
def test_a_report_is_of_one_cut_that_is_at_most_two_pictures_past(
    cuts: Sequence[int], reports: Sequence[int], found: int
) -> None:
    assert matches(cuts, reports, late=2) == found


def test_precision_and_recall_of_all_clips_together() -> None:
    total = Score(cuts=8, misses=2, seconds=(0.1,)) + Score(false_alarms=2, seconds=(0.1, 0.2))
    assert (total.frames, total.recall, total.precision) == (3, 0.75, 0.75)
    assert (Score().recall, Score().precision) == (1, 1)
