"""The service's metrics for Prometheus, one registry per app; no label holds a session's id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Literal, get_args

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

import protocol
from server.engine_collectors import Engines, HostCopies, Plan
from server.engines.info import EngineInfo, PlanStatus
from server.job_gauges import Count, JobGauges
from server.scheduling.session import Session, SessionState

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.033, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
BATCHES = (1, 2, 4, 8, 16, 32, 64)

Stage = Literal[protocol.Stage, "gather", "scatter", "send", "total"]
"""``gather`` is the time from scheduling to the step, ``scatter`` the time from the step's end
until all sinks have their answers."""

Result = Literal["segmented", "replayed", "dropped", "failed", "left"]
"""``left`` counts frames that were waiting when their client left."""


class Metrics:
    """The service's metrics. Any thread may call any method; all except :meth:`count_jobs` return
    at once."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._frames = Counter(
            "mastream_frames",
            "Frames answered",
            ["result", "cause"],
            registry=registry,
        )
        stages = Histogram(
            "mastream_stage_seconds",
            "Seconds a frame spent in each stage",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self._decoded = Counter(
            "mastream_decoded_frames", "Frames segmented", ["decoder"], registry=registry
        )
        registry.register(HostCopies())
        self._stages = {name: stages.labels(name) for name in get_args(Stage)}
        self._batch = Histogram(
            "mastream_batch_size", "Frames in a step", buckets=BATCHES, registry=registry
        )
        self._late = Histogram(
            "mastream_event_loop_late_seconds",
            "Seconds by which the event loop was late",
            buckets=SECONDS,
            registry=registry,
        )
        self._held_back = Counter(
            "mastream_messages_held_back",
            "Messages and parts of bodies read later because their clients cause the most work",
            registry=registry,
        )
        self._sessions = _gauge(registry, "sessions", "Open sessions", "state")
        self._watched: list[tuple[Iterable[Session], Callable[[], int]]] = []
        self._memory = _gauge(registry, "session_memory_bytes", "Bytes that memories hold")
        self._held = _gauge(
            registry, "streams_held_bytes", "Bytes of messages, pictures and masks on their way"
        )
        self._resets = Counter(
            "mastream_memory_resets", "Memories emptied", ["cause"], registry=registry
        )
        self._resumes = Counter(
            "mastream_resumes", "Sessions asked for again", ["memory"], registry=registry
        )
        self._leases = _gauge(registry, "leases", "Rows that servers share", "kind", "state")
        self._pieces = Counter("mastream_pieces", "Pieces of videos", ["result"], registry=registry)
        self._takeovers = Counter(
            "mastream_takeovers",
            "Rows that this server has taken",
            ["kind", "cause"],
            registry=registry,
        )
        self._leases_lost = Counter(
            "mastream_leases_lost", "Rows that this server has lost", ["kind"], registry=registry
        )
        self._servers = _gauge(registry, "cluster_servers", "Servers alive on this database")
        self._sources = _gauge(registry, "sources", "Pulled sources", "state")
        self._reconnects = Counter(
            "mastream_source_reconnects", "Reconnections of pulled sources", registry=registry
        )
        self._viewer_losses = Counter(
            "mastream_viewer_masks_lost", "Masks lost by slow viewers", registry=registry
        )
        self._recordings = _gauge(registry, "recordings", "Recordings being written")
        self._recorded = Counter(
            "mastream_recorded_bytes", "Bytes written to recordings", registry=registry
        )
        self._recordings_ended = Counter(
            "mastream_recordings_ended", "Recordings that ended", ["reason"], registry=registry
        )
        self._publishers = _gauge(registry, "publishers", "Restreamed overlays", "state")
        self._published = Counter(
            "mastream_published_masks", "Masks to be restreamed", ["result"], registry=registry
        )
        self._jobs = JobGauges(registry)
        self._step_age = _gauge(
            registry,
            "engine_last_step_age_seconds",
            "Seconds since the engine last came back, 0 while it has nothing to do",
        )
        self._step_ages: list[Callable[[], float]] = []
        self._restarts = Counter(
            "mastream_engine_restarts", "Restarts of the engine", registry=registry
        )
        self._engines = Engines()
        registry.register(self._engines)
        self._plan = Plan()
        registry.register(self._plan)
        self._rejected = Counter(
            "mastream_rejected", "Requests turned away", ["reason"], registry=registry
        )

    def frame(self, result: Result, cause: str = "", count: int = 1) -> None:
        """Count answered frames; ``cause`` is why they were dropped or failed."""
        self._frames.labels(result, cause).inc(count)

    @property
    def masks(self) -> int:
        """Return how many masks were made since the start."""
        sample = self._registry.get_sample_value
        return int(sample("mastream_frames_total", {"result": "segmented", "cause": ""}) or 0)

    def decoded(self, decoder: str) -> None:
        """Count a segmented frame by its decoder, "" if it was not encoded."""
        self._decoded.labels(decoder).inc()

    def stage(self, name: Stage, seconds: float) -> None:
        self._stages[name].observe(seconds)

    def batch(self, size: int) -> None:
        self._batch.observe(size)

    def event_loop_late(self, seconds: float) -> None:
        self._late.observe(seconds)

    def held_back(self) -> None:
        """Count a message or body that is read later because its client causes too much work."""
        self._held_back.inc()

    def memory_reset(self, cause: str) -> None:
        self._resets.labels(cause).inc()

    def resumed(self, memory: str) -> None:
        """Count an ``open`` with a token, by the state of the memory that it found."""
        self._resumes.labels(memory).inc()

    def source_reconnected(self) -> None:
        self._reconnects.inc()

    def viewer_lost(self) -> None:
        """Count a mask that a viewer missed because it read too slowly; its stream has lost
        nothing."""
        self._viewer_losses.inc()

    def recorded(self, nbytes: int) -> None:
        """Count bytes that were written to recordings."""
        self._recorded.inc(nbytes)

    def recording_ended(self, why: str) -> None:
        self._recordings_ended.labels(why).inc()

    def watch_recordings(self, running: Callable[[], float]) -> None:
        self._recordings.set_function(running)

    def published(self, result: str) -> None:
        """Count a mask for publishing: "sent", or "skipped" since a newer one came first."""
        self._published.labels(result).inc()

    def watch_publishers(self, state: str, count: Callable[[], float]) -> None:
        self._publishers.labels(state).set_function(count)

    def engine_restarted(self) -> None:
        self._restarts.inc()

    def rejected(self, reason: str) -> None:
        """Count a refused request or stream; ``reason`` is the error's stable code."""
        self._rejected.labels(reason).inc()

    def watch_sessions(self, sessions: Iterable[Session], memory_bytes: Callable[[], int]) -> None:
        """Count these sessions too, by state, and their memories' bytes, at every scrape."""
        self._watched.append((sessions, memory_bytes))
        for state in SessionState:
            self._sessions.labels(state.value).set_function(partial(self._count_in, state))
        self._memory.set_function(self._count_memory)

    def watch_held(self, nbytes: Callable[[], float]) -> None:
        """Report the bytes that all streams hold, at every scrape."""
        self._held.set_function(nbytes)

    def watch_sources(self, state: str, count: Callable[[], float]) -> None:
        self._sources.labels(state).set_function(count)

    def watch_leases(self, kind: str, state: str, count: Callable[[], float]) -> None:
        """Report how many rows of a kind are in each state: held here, elsewhere, or free."""
        self._leases.labels(kind, state).set_function(count)

    def expect_takeovers(self, kind: str, causes: Iterable[str]) -> None:
        """Start the counters of a kind at 0, so that their first increase is visible."""
        self._leases_lost.labels(kind)
        for cause in causes:
            self._takeovers.labels(kind, cause)

    def lease_lost(self, kind: str) -> None:
        """Count a row that this server had and lost."""
        self._leases_lost.labels(kind).inc()

    def watch_servers(self, count: Callable[[], float]) -> None:
        """Report how many servers are alive on the same database, including this one."""
        self._servers.set_function(count)

    def taken_over(self, kind: str, cause: str) -> None:
        """Count a row that this server has taken: see Ownership."""
        self._takeovers.labels(kind, cause).inc()

    def piece(self, result: str) -> None:
        """Count a piece of a video that this server finished, failed on or lost."""
        self._pieces.labels(result).inc()

    def watch_jobs(self, folder: str, counts: Mapping[str, Count], pieces: Count) -> None:
        """Report the numbers of jobs and pieces as :meth:`JobGauges.watch`; the functions may block
        and raise MastreamError: see :meth:`count_jobs`."""
        self._jobs.watch(folder, counts, pieces)

    def jobs(self, *states: str) -> int:
        """Return how many jobs are in these states. May block, and raise MastreamError."""
        return self._jobs.total(*states)

    def count_jobs(self) -> None:
        """Update the numbers of jobs and pieces; omit one whose count fails. May block."""
        self._jobs.update()

    def watch_step_age(self, seconds: Callable[[], float]) -> None:
        """Report the age of the oldest step of all engines watched, at every scrape."""
        self._step_ages.append(seconds)
        self._step_age.set_function(lambda: max(age() for age in self._step_ages))

    def watch_engine(self, engine: Callable[[], EngineInfo | None]) -> None:
        """Report the provider that runs the model and those that failed, at every scrape; None:
        nothing runs it."""
        self._engines.watched.append(engine)

    def watch_plan(self, status: Callable[[], PlanStatus]) -> None:
        """Report the state of the TensorRT plan, at every scrape."""
        self._plan.status = status

    def render(self) -> bytes:
        """Return the exposition text; its content type is CONTENT_TYPE."""
        return generate_latest(self._registry)

    def _count_in(self, state: SessionState) -> int:
        return sum(session.state is state for sessions, _ in self._watched for session in sessions)

    def _count_memory(self) -> int:
        return sum(
            memory_bytes()
            for sessions, memory_bytes in self._watched
            for session in sessions
            if session.memory is not None
        )


def _gauge(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"mastream_{name}", text, labels, registry=registry)
