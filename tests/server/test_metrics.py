"""The metrics for Prometheus."""

from __future__ import annotations

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from server.engines.fake import fake_spec
from server.engines.info import EngineInfo
from server.frame import HOST_COPIES, Frame
from server.metrics import Metrics
from server.scheduling.session import Session


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """Value by name and label values, sorted."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_everything_the_wire_page_names_is_there() -> None:
    metrics = Metrics()
    metrics.frame("dropped", "newer", count=2)
    metrics.frame("segmented")
    metrics.stage("step", 0.004)
    metrics.batch(3)
    metrics.memory_reset("new")
    metrics.watch_sources("live", lambda: 1)
    metrics.source_reconnected()
    metrics.watch_leases("stream", "held", lambda: 4)
    metrics.taken_over("stream", "expired")
    metrics.watch_jobs("f", {"running": lambda: 5}, lambda: 3)
    metrics.count_jobs()
    metrics.watch_step_age(lambda: 0.25)
    metrics.engine_restarted()
    metrics.rejected("no_capacity")
    metrics.viewer_lost()
    metrics.recorded(700)
    metrics.recording_ended("bytes")
    metrics.watch_recordings(lambda: 2)
    metrics.published("sent")
    metrics.watch_publishers("live", lambda: 3)
    found = samples(metrics)
    expected = {
        ("mastream_frames_total", ("dropped", "newer")): 2,
        ("mastream_frames_total", ("", "segmented")): 1,
        ("mastream_stage_seconds_bucket", ("0.005", "step")): 1,
        ("mastream_stage_seconds_bucket", ("0.002", "step")): 0,
        ("mastream_batch_size_sum", ()): 3,
        ("mastream_memory_resets_total", ("new",)): 1,
        ("mastream_sources", ("live",)): 1,
        ("mastream_source_reconnects_total", ()): 1,
        ("mastream_leases", ("held", "stream")): 4,
        ("mastream_takeovers_total", ("expired", "stream")): 1,
        ("mastream_jobs", ("f", "running")): 5,
        ("mastream_pieces_held", ()): 3,
        ("mastream_engine_last_step_age_seconds", ()): 0.25,
        ("mastream_engine_restarts_total", ()): 1,
        ("mastream_rejected_total", ("no_capacity",)): 1,
        ("mastream_viewer_masks_lost_total", ()): 1,
        ("mastream_recorded_bytes_total", ()): 700,
        ("mastream_recordings_ended_total", ("bytes",)): 1,
        ("mastream_recordings", ()): 2,
        ("mastream_published_masks_total", ("sent",)): 1,
        ("mastream_publishers", ("live",)): 3,
    }
    assert {key: found.get(key) for key in expected} == expected


def test_sessions_are_counted_by_state_when_asked() -> None:
    metrics, sessions = Metrics(), [Session(), Session()]
    metrics.watch_sessions(sessions, lambda: 1000)
    sessions[0].offer(Frame(np.zeros((2, 2, 3), np.uint8), 0), now=0.0)
    found = samples(metrics)
    assert found["mastream_sessions", ("waiting",)] == 1
    assert found["mastream_sessions", ("idle",)] == 1
    assert found["mastream_session_memory_bytes", ()] == 0
    sessions[0].take(0.0)
    sessions[0].finish("memory")
    found = samples(metrics)
    assert found["mastream_sessions", ("idle",)] == 2
    assert found["mastream_session_memory_bytes", ()] == 1000


def test_two_apps_share_nothing() -> None:
    one, two = Metrics(), Metrics()
    one.engine_restarted()
    assert samples(one)["mastream_engine_restarts_total", ()] == 1
    assert samples(two)["mastream_engine_restarts_total", ()] == 0


def test_what_decoded_and_what_was_copied_to_the_host() -> None:
    metrics = Metrics()
    metrics.decoded("nvdec")
    before = HOST_COPIES.count
    HOST_COPIES.add()
    told = metrics.render().decode()
    assert 'mastream_decoded_frames_total{decoder="nvdec"} 1.0' in told
    assert f"mastream_host_copies_total {before + 1}.0" in told


def test_what_serves_and_what_could_not_is_reported() -> None:
    metrics = Metrics()
    spec = fake_spec(16, 16)
    reasons = ("tensorrt: not installed", "cuda: no driver: none at all")
    serving: list[EngineInfo | None] = [
        EngineInfo(spec, "CPUExecutionProvider", 4, "cpu", reasons),
        None,
    ]
    metrics.watch_engine(lambda: serving[0])
    metrics.watch_engine(lambda: serving[1])
    found = samples(metrics)
    assert found["mastream_engine_info", ("CPUExecutionProvider", "cpu", "fake")] == 1
    assert found["mastream_engine_passed_over", ("not installed", "tensorrt")] == 1
    assert found["mastream_engine_passed_over", ("cuda", "no driver: none at all")] == 1
    serving[1] = serving[0]
    assert samples(metrics)["mastream_engine_info", ("CPUExecutionProvider", "cpu", "fake")] == 2
    serving[:] = [None, None]
    assert not any(name == "mastream_engine_info" for name, _ in samples(metrics))


def test_of_several_engines_the_oldest_step_is_reported() -> None:
    metrics = Metrics()
    metrics.watch_step_age(lambda: 0.5)
    metrics.watch_step_age(lambda: 2.0)
    assert samples(metrics)["mastream_engine_last_step_age_seconds", ()] == 2.0
