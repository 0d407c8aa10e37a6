"""Batches made ready ahead of their use, in their order: which thread was first never matters."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from training.data.augment import AugmentOptions
from training.data.batches import Step, Window, steps

Batch = list[Step]
"""The instants of B parallel clips, in order."""


def load(
    plan: Iterable[Sequence[Window]], options: AugmentOptions, workers: int, pinned: bool
) -> Generator[Batch]:
    """The batches of ``plan`` in its order: ``workers`` threads, or none, each making a whole one.

    At most ``workers`` batches are ready or under way beside the one in use. An error of a batch
    is raised where that batch would have come. Closing the iterator ends the threads.
    """
    make = partial(make_batch, options=options, pinned=pinned)
    yield from _ahead(plan, make, workers) if workers else map(make, plan)


def make_batch(windows: Sequence[Window], options: AugmentOptions, pinned: bool) -> Batch:
    """Read, augment and stack: a pure function of the windows."""
    made = steps(windows, options)
    return [step.pinned() for step in made] if pinned else list(made)


def _ahead(plan: Iterable[Sequence[Window]], make: partial[Batch], workers: int) -> Iterator[Batch]:
    waiting: deque[Future[Batch]] = deque()
    # Threads suffice: decoding, scaling and large array arithmetic leave Python's lock alone.
    with ThreadPoolExecutor(workers, "batches") as pool:
        try:
            for windows in plan:
                waiting.append(pool.submit(make, windows))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for batch in waiting:
                batch.cancel()
