"""Choose the first of several providers that works, and record why the others failed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from server.engines.base import Engine
from server.errors import MastreamError, NotFound
from server.settings import EngineSettings

log = logging.getLogger(__name__)

Attempt = tuple[str, Callable[[], Engine]]
"""A provider's name in the settings, and a function that makes an engine on it."""


def first_that_works(
    settings: EngineSettings, on_gpu: Sequence[Attempt], on_cpu: Callable[[], Engine]
) -> Engine:
    """Return the first engine on a GPU that can be made and that the settings allow; otherwise the
    CPU's, unless a GPU was requested.

    The engine's ``passed_over`` lists the providers that failed. Raises NotFound with their reasons
    if a GPU was requested and none works.
    """
    passed_over: list[str] = []
    for name, make in on_gpu:
        if settings.provider in ("auto", name):
            try:
                return _noted(make(), passed_over)
            except MastreamError as error:
                passed_over.append(f"{name}: {error}")
    if settings.needs_gpu:
        reasons = "; ".join(passed_over) or f"{settings.name} does not run on {settings.provider}"
        raise NotFound(
            f"A GPU is required by the settings, and the model does not run on one: {reasons}"
        )
    return _noted(on_cpu(), passed_over)


def or_else(make: Callable[[], Engine], other: Callable[[], Engine]) -> Callable[[], Engine]:
    """Return a function that makes an engine with ``make`` or, if that fails, with ``other``; the
    reason is recorded in ``passed_over``."""

    def either() -> Engine:
        try:
            return make()
        except Exception as error:  # errors of a library too: the other engine may work
            log.warning("an engine cannot be made again, and another replaces it: %s", error)
            return _noted(other(), [str(error)])

    return either


def _noted(engine: Engine, passed_over: Sequence[str]) -> Engine:
    engine.passed_over = (*passed_over, *engine.passed_over)
    return engine
