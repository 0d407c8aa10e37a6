"""Which provider is used, and what is reported about the others."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from server.engines.base import Engine
from server.engines.choosing import Attempt, first_that_works, or_else
from server.engines.fake import FakeEngine
from server.errors import BadInput, NotFound
from server.settings import EngineSettings


def works(provider: str) -> Callable[[], Engine]:
    def make() -> Engine:
        engine = FakeEngine()
        engine.provider = provider
        return engine

    return make


def fails(reason: str) -> Callable[[], Engine]:
    def make() -> Engine:
        raise NotFound(reason)

    return make


def choose(*on_gpu: Attempt, **settings: str) -> Engine:
    return first_that_works(EngineSettings.model_validate(settings), on_gpu, works("CPU"))


def test_the_first_that_works_is_taken_and_the_others_are_reported() -> None:
    engine = choose(("tensorrt", fails("not installed")), ("cuda", works("CUDA")))
    assert engine.provider == "CUDA"
    assert engine.passed_over == ("tensorrt: not installed",)


def test_the_cpu_serves_where_nobody_asked_for_a_gpu() -> None:
    engine = choose(("tensorrt", fails("not installed")), ("cuda", fails("no driver")))
    assert engine.provider == "CPU"
    assert engine.passed_over == ("tensorrt: not installed", "cuda: no driver")


def test_the_cpu_is_no_substitute_for_a_gpu_that_was_asked_for() -> None:
    attempts = (("tensorrt", fails("not installed")), ("cuda", fails("no driver")))
    with pytest.raises(NotFound, match=r"A GPU is required.*cuda: no driver$"):
        choose(*attempts, provider="cuda")
    with pytest.raises(NotFound, match="tensorrt: not installed; cuda: no driver"):
        choose(*attempts, devices="1")


def test_a_provider_that_the_engine_does_not_have_is_an_error() -> None:
    with pytest.raises(NotFound, match="pytorch does not run on tensorrt"):
        choose(("cuda", works("CUDA")), name="pytorch", provider="tensorrt")


def test_what_is_asked_for_is_not_passed_over() -> None:
    engine = choose(("tensorrt", works("TRT")), ("cuda", works("CUDA")), provider="cuda")
    assert (engine.provider, engine.passed_over) == ("CUDA", ())
    engine = choose(("tensorrt", works("TRT")), ("cuda", works("CUDA")), provider="cpu")
    assert (engine.provider, engine.passed_over) == ("CPU", ())


def test_what_an_engine_goes_without_is_reported_too() -> None:
    def make() -> Engine:
        engine = FakeEngine()
        engine.passed_over = ("CUDA graphs: a node is on the CPU",)
        return engine

    engine = choose(("tensorrt", fails("not installed")), ("cuda", make))
    assert engine.passed_over == (
        "tensorrt: not installed",
        "CUDA graphs: a node is on the CPU",
    )


def test_an_error_of_our_own_is_not_passed_over() -> None:
    def make() -> Engine:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        choose(("cuda", make))


def test_a_model_that_no_engine_runs_is_reported_by_the_last() -> None:
    def make() -> Engine:
        raise BadInput("not a graph")

    with pytest.raises(BadInput, match="not a graph"):
        first_that_works(EngineSettings(), [("cuda", make)], make)


def test_another_is_made_only_where_the_first_cannot_be() -> None:
    assert or_else(works("TRT"), fails("no driver"))().provider == "TRT"
    engine = or_else(fails("no plan"), works("CUDA"))()
    assert (engine.provider, engine.passed_over) == ("CUDA", ("no plan",))
    with pytest.raises(NotFound, match="no driver"):
        or_else(fails("no plan"), fails("no driver"))()
