"""Which of several ways to run a model is taken, and what is told of the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from server.engines.base import Engine
from server.errors import MastreamError, NotFound
from server.settings import EngineSettings

log = logging.getLogger(__name__)

Attempt = tuple[str, Callable[[], Engine]]
"""A provider, as the settings call it, and what makes an engine on it."""


def first_that_works(
    settings: EngineSettings, on_gpu: Sequence[Attempt], on_cpu: Callable[[], Engine]
) -> Engine:
    """The first engine on a GPU that can be made, of those that the settings allow; else the
    CPU's, unless a GPU was asked for.

    What was preferred and could not be is written in the engine's ``passed_over``. Raises
    NotFound with those reasons where nothing serves that was asked for.
    """
    passed_over: list[str] = []
    for name, make in on_gpu:
        if settings.provider in ("auto", name):
            try:
                return _told(make(), passed_over)
            except MastreamError as error:
                passed_over.append(f"{name}: {error}")
    if settings.needs_gpu:
        reasons = "; ".join(passed_over) or f"{settings.name} does not run on {settings.provider}"
        raise NotFound(f"a GPU was asked for, and the model does not run on one: {reasons}")
    return _told(on_cpu(), passed_over)


def or_else(make: Callable[[], Engine], other: Callable[[], Engine]) -> Callable[[], Engine]:
    """Makes an engine by ``make`` and, where that fails, by ``other``: why is written in
    ``passed_over``."""

    def either() -> Engine:
        try:
            return make()
        except Exception as error:  # a library's own too: the other may work
            log.warning("an engine cannot be made again, another takes its place: %s", error)
            return _told(other(), [str(error)])

    return either


def _told(engine: Engine, passed_over: Sequence[str]) -> Engine:
    engine.passed_over = (*passed_over, *engine.passed_over)
    return engine
