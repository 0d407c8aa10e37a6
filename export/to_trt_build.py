"""The calls to TensorRT 11 that make a plan of a graph. No other file of export makes any but
``to_trt_verify``, which runs a plan.

``trt`` is the module ``tensorrt`` everywhere; a test hands in a stand-in that holds every call to
the real signatures (tests/tensorrt_contract.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event
from typing import Any

from export.progress import Phases
from models.plan import BatchRange, BuildProgress

Show = Callable[[BuildProgress], None]

DONE = BuildProgress(100, "done")


class BuildFailed(RuntimeError):
    """TensorRT made no plan; the message holds what it logged."""


class BuildStopped(BuildFailed):
    """The build was stopped from outside."""


class PlanFailed(RuntimeError):
    """TensorRT does not run the plan."""


@dataclass(frozen=True)
class BuildOptions:
    """How a plan is built. ``workspace`` is in bytes, TensorRT's own limit where None; ``level``
    is 0 (built at once) to 5 (searches longest). ``tf32`` lets float32 products be rounded."""

    batch: BatchRange
    workspace: int | None = None
    level: int = 3
    version_compatible: bool = False
    tf32: bool = False


@dataclass(frozen=True)
class Built:
    """A plan, and the timings that make the next build shorter."""

    plan: bytes
    timings: bytes


def build(
    trt: Any,
    graph: bytes,
    inputs: Mapping[str, tuple[int, ...]],
    options: BuildOptions,
    timings: bytes = b"",
    show: Show = lambda _: None,
    stop: Event | None = None,
) -> Built:
    """A plan of an ONNX graph whose ``inputs`` have these shapes for one stream, for any batch of
    the range. ``timings`` are of an earlier build on this GPU. Takes minutes.

    Raises BuildFailed with TensorRT's own words, BuildStopped once ``stop`` is set.
    """
    stop = stop or Event()
    log = make_log(trt)
    builder = trt.Builder(log)
    network = parse(trt, builder, graph, log)
    config = configure(trt, builder, options)
    config.add_optimization_profile(make_profile(builder, inputs, options.batch))
    cache = attach_timings(config, timings)
    # TensorRT keeps no reference of its own to monitor or cache: both must outlive the build.
    monitor = config.progress_monitor = make_monitor(trt, show, stop)
    plan = builder.build_serialized_network(network, config)
    del monitor
    if stop.is_set():
        raise BuildStopped("the build was stopped; nothing was written")
    if plan is None:
        raise BuildFailed(f"TensorRT could not build the plan: {log.told()}")
    show(DONE)
    return Built(bytes(plan), bytes(cache.serialize()))


def parse(trt: Any, builder: Any, graph: bytes, log: Any) -> Any:
    """The graph as a network; always strongly typed. Raises BuildFailed with what is unknown."""
    network = builder.create_network()
    parser = trt.OnnxParser(network, log)
    if parser.parse(graph):
        return network
    errors = (parser.get_error(index) for index in range(parser.num_errors))
    told = "; ".join(f"{e.node_operator() or 'graph'} {e.node_name()}: {e.desc()}" for e in errors)
    raise BuildFailed(f"TensorRT's parser cannot read the graph: {told or log.told()}")


def configure(trt: Any, builder: Any, options: BuildOptions) -> Any:
    config = builder.create_builder_config()
    config.builder_optimization_level = options.level
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace)
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if not options.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)  # on unless told otherwise
    return config


def make_profile(builder: Any, inputs: Mapping[str, tuple[int, ...]], batch: BatchRange) -> Any:
    """One profile: only the batch varies."""
    profile = builder.create_optimization_profile()
    for name, shape in inputs.items():
        profile.set_shape(name, (batch.min, *shape), (batch.opt, *shape), (batch.max, *shape))
    return profile


def attach_timings(config: Any, timings: bytes) -> Any:
    """Give the build what earlier ones measured; timings of another GPU or version are left out."""
    cache = config.create_timing_cache(timings)
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def make_log(trt: Any) -> Any:
    """A logger that keeps errors for the sentence that a failure ends in; the last few count."""

    class Log(trt.ILogger):  # type: ignore[misc]  # known only where TensorRT is installed
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors = [*self.errors[-2:], " ".join(msg.split())]

        def told(self) -> str:
            return "; ".join(self.errors) or "it logged no error"

    return Log()


def make_monitor(trt: Any, show: Show, stop: Event) -> Any:
    """Tells ``show`` of every phase and step, and TensorRT to stop once ``stop`` is set.

    Nothing may be raised in it: TensorRT calls it from C++, on threads of its own.
    """
    phases = Phases()

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # as above
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            show(phases.start(phase_name, parent_phase, num_steps))

        def step_complete(self, phase_name: str, step: int) -> bool:
            show(phases.step(phase_name, step))
            return not stop.is_set()

        def phase_finish(self, phase_name: str) -> None:
            show(phases.finish(phase_name))

    return Monitor()
