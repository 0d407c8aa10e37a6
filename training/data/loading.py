"""Prepare batches ahead of their use. Their order does not depend on the threads' timing."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from training.data.augment import AugmentOptions
from training.data.batches import Step, Window, steps

Batch = list[Step]
"""The time steps of B parallel clips, in order."""


def load(
    plan: Iterable[Sequence[Window]], options: AugmentOptions, workers: int, pinned: bool
) -> Generator[Batch]:
    """Yield the batches of ``plan`` in order; ``workers`` threads prepare one batch each.

    With 0 workers the caller's thread prepares them. At most ``workers`` batches are ready or in
    preparation in addition to the one in use. An error in a batch is raised when its turn comes.
    Closing the iterator ends the threads.
    """
    make = partial(make_batch, options=options, pinned=pinned)
    yield from _ahead(plan, make, workers) if workers else map(make, plan)


def make_batch(windows: Sequence[Window], options: AugmentOptions, pinned: bool) -> Batch:
    """Read, augment and stack a batch; the result depends only on the arguments."""
    made = steps(windows, options)
    return [step.pinned() for step in made] if pinned else list(made)


def _ahead(plan: Iterable[Sequence[Window]], make: partial[Batch], workers: int) -> Iterator[Batch]:
    waiting: deque[Future[Batch]] = deque()
    # Threads suffice: decoding, scaling and large array operations release Python's lock.
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
