"""The calls to TensorRT 11 that build a plan from a graph.

In export only ``to_trt_verify``, which runs a plan, makes other calls to TensorRT. ``trt`` is the
module ``tensorrt`` everywhere; tests pass a substitute that checks every call against the real
signatures.
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
    """TensorRT could not build a plan; the message contains its errors."""


class BuildStopped(BuildFailed):
    """The build was stopped from outside."""


class PlanFailed(RuntimeError):
    """TensorRT cannot run the plan."""


@dataclass(frozen=True)
class BuildOptions:
    """How to build a plan.

    ``workspace`` is in bytes; None means TensorRT's own limit. ``level`` is 0 (builds fastest) to 5
    (searches longest). ``tf32`` allows rounding the factors of float32 products.
    """

    batch: BatchRange
    workspace: int | None = None
    level: int = 3
    version_compatible: bool = False
    tf32: bool = False


@dataclass(frozen=True)
class Built:
    """A plan, and the timings that shorten the next build."""

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
    """Build a plan from an ONNX graph, for any batch of the range in ``options``. Takes minutes.

    ``inputs`` are the shapes of the graph's inputs for one stream; ``timings`` are those of an
    earlier build on this GPU. Raises BuildFailed with TensorRT's errors if it fails, BuildStopped
    if ``stop`` is set.
    """
    stop = stop or Event()
    log = make_log(trt)
    builder = trt.Builder(log)
    network = parse(trt, builder, graph, log)
    config = configure(trt, builder, options)
    config.add_optimization_profile(make_profile(builder, inputs, options.batch))
    cache = attach_timings(config, timings)
    # TensorRT keeps no reference to monitor or cache, so both must outlive the build.
    monitor = config.progress_monitor = make_monitor(trt, show, stop)
    plan = builder.build_serialized_network(network, config)
    del monitor
    if stop.is_set():
        raise BuildStopped("The build was stopped; nothing was written.")
    if plan is None:
        raise BuildFailed(f"TensorRT could not build the plan: {log.summary()}.")
    show(DONE)
    return Built(bytes(plan), bytes(cache.serialize()))


def parse(trt: Any, builder: Any, graph: bytes, log: Any) -> Any:
    """Return the graph as a network, which is always strongly typed.

    Raises BuildFailed, naming the nodes, if TensorRT cannot read one.
    """
    network = builder.create_network()
    parser = trt.OnnxParser(network, log)
    if parser.parse(graph):
        return network
    errors = (parser.get_error(index) for index in range(parser.num_errors))
    causes = "; ".join(
        f"{e.node_operator() or 'graph'} {e.node_name()}: {e.desc()}" for e in errors
    )
    raise BuildFailed(f"TensorRT's parser cannot read the graph: {causes or log.summary()}.")


def configure(trt: Any, builder: Any, options: BuildOptions) -> Any:
    """Return the configuration of a build with these options."""
    config = builder.create_builder_config()
    config.builder_optimization_level = options.level
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace)
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if not options.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default
    return config


def make_profile(builder: Any, inputs: Mapping[str, tuple[int, ...]], batch: BatchRange) -> Any:
    """Return the only profile, in which only the batch varies."""
    profile = builder.create_optimization_profile()
    for name, shape in inputs.items():
        profile.set_shape(name, (batch.min, *shape), (batch.opt, *shape), (batch.max, *shape))
    return profile


def attach_timings(config: Any, timings: bytes) -> Any:
    """Give the build the timings of earlier ones; those of another GPU or version are ignored."""
    cache = config.create_timing_cache(timings)
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def make_log(trt: Any) -> Any:
    """Return a logger that keeps the last three errors for the message of a failure."""

    class Log(trt.ILogger):  # type: ignore[misc]  # known only where TensorRT is installed
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors = [*self.errors[-2:], " ".join(msg.split())]

        def summary(self) -> str:
            return "; ".join(self.errors) or "it logged no error"

    return Log()


def make_monitor(trt: Any, show: Show, stop: Event) -> Any:
    """Return a monitor that calls ``show`` at every phase and step, and ends the build on ``stop``.

    It must not raise, since TensorRT calls it from C++ and on its own threads.
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
