"""The application, assembled: what its routes answer, and that its OpenAPI says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient
from openapi_spec_validator import validate

import protocol
from server.app import create_app
from server.engines.base import Engine
from server.engines.fake import FakeEngine, fake_spec
from server.errors import NotFound
from server.settings import EngineSettings, Settings
from server.workers.fleet import Fleet

PROBLEM = "application/problem+json"


def small_engine() -> Engine:
    return FakeEngine(fake_spec(32, 48))


@contextmanager
def client(
    folder: Path, make: Callable[[], Engine] = small_engine, loaded: bool = True
) -> Iterator[TestClient]:
    """A client of a running application, by default one whose model is loaded."""
    app = create_app(Settings(folder=folder), make)
    with TestClient(app, raise_server_exceptions=False) as web:
        if loaded:
            assert web.portal
            web.portal.call(app.state.service.loaded)
        yield web


def test_a_loaded_service_is_ready_and_says_what_it_serves(tmp_path: Path) -> None:
    with client(tmp_path) as web:
        assert web.get("/health/live").json() == {"status": "live"}
        assert web.get("/health/ready").json() == {"status": "ready", "access": "local"}
        listed = web.get("/v1/models").json()["models"]
        assert [one["name"] for one in listed] == ["fake"]
        one = web.get("/v1/models/fake").json()
        assert one == listed[0] and one["provider"] == "fake"
        assert one["spec"] == fake_spec(32, 48).to_dict() | {
            "classes": [{"name": c.name, "colour": list(c.colour)} for c in fake_spec().classes],
            "memory": one["spec"]["memory"],
            "mean": [0.0, 0.0, 0.0],
            "std": [1.0, 1.0, 1.0],
        }


def test_each_gpu_that_is_named_has_a_worker(tmp_path: Path) -> None:
    for devices, workers in (("1", 1), ("0,1", 2)):
        engine = EngineSettings(name="fake", devices=devices)
        served = create_app(Settings(folder=tmp_path, engine=engine)).state.service.parts.worker
        assert (len(served.workers) if isinstance(served, Fleet) else 1) == workers


def test_it_listens_but_takes_no_work_while_the_model_is_loaded(tmp_path: Path) -> None:
    may_go_on = threading.Event()

    def slowly() -> Engine:
        may_go_on.wait()
        return small_engine()

    with client(tmp_path, slowly, loaded=False) as web:
        try:
            assert web.get("/health/live").status_code == 200
            answer = web.get("/health/ready")
            assert (answer.status_code, answer.headers["content-type"]) == (503, PROBLEM)
            assert answer.json()["code"] == "not_ready"
            assert answer.json()["reasons"] == ["the model is being loaded"]
            assert web.get("/v1/videos").json()["code"] == "no_capacity"
            assert web.get("/v1/models").json()["code"] == "no_capacity"
            with web.websocket_connect("/v1/stream") as socket:
                assert socket.receive_json()["code"] == "no_capacity"
                assert socket.receive()["code"] == 4503
        finally:
            may_go_on.set()
        assert web.portal
        web.portal.call(web.app.state.service.loaded)  # type: ignore[attr-defined]
        assert web.get("/health/ready").status_code == 200


def test_what_keeps_it_from_starting_is_raised_to_who_waits(tmp_path: Path) -> None:
    def never() -> Engine:
        raise NotFound("there is no such model")

    with client(tmp_path, never, loaded=False) as web:
        assert web.portal
        with pytest.raises(NotFound):
            web.portal.call(web.app.state.service.loaded)  # type: ignore[attr-defined]
        assert web.get("/health/ready").status_code == 503


def test_a_stream_is_counted_in_the_metrics(tmp_path: Path) -> None:
    with client(tmp_path) as web:
        with web.websocket_connect("/v1/stream", subprotocols=["mastream.v1"]) as socket:
            assert socket.accepted_subprotocol == "mastream.v1"
            wish = {"type": "open", "input": "rgb24", "width": 48, "height": 32, "output": "raw"}
            socket.send_json(wish)
            assert socket.receive_json()["type"] == "ready"
            socket.send_bytes(protocol.pack({"seq": 3}, bytes(32 * 48 * 3)))
            answer = socket.receive_bytes()
            assert protocol.unpack(answer, len(answer)).header["seq"] == 3
            socket.send_bytes(protocol.pack({"seq": 4}, b"too short"))
            assert socket.receive_json()["cause"] == "undecodable"
            socket.send_json({"type": "end"})
            assert socket.receive_json() == {"type": "end"}
            assert socket.receive()["code"] == 1000
        text = web.get("/metrics").text
    assert 'mastream_frames_total{cause="",result="segmented"} 1.0' in text
    assert 'mastream_frames_total{cause="undecodable",result="dropped"} 1.0' in text
    for stage in ("wait", "decode", "encode", "send", "total"):
        assert f'mastream_stage_seconds_count{{stage="{stage}"}} ' in text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/models/nobody", 404, "not_found"),
        ("GET", "/v1/videos?limit=many", 422, "bad_request"),
        ("GET", "/v1/videos/nothing", 404, "not_found"),
    ],
)
def test_every_error_is_a_problem(
    tmp_path: Path, method: str, path: str, status: int, code: str
) -> None:
    with client(tmp_path) as web:
        answer = web.request(method, path)
        schema = web.get("/openapi.json").json()["components"]["schemas"]["Problem"]
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] == f"urn:mastream:error:{code}" and problem["detail"]
    assert {"type", "title", "status", "code", "detail"} == set(schema["required"])


def test_a_failure_of_ours_is_a_problem_without_its_words(tmp_path: Path) -> None:
    with client(tmp_path) as web:
        web.app.state.service.metrics.render = _fail  # type: ignore[attr-defined]
        answer = web.get("/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (500, PROBLEM)
    assert answer.json()["code"] == "fault" and "secret" not in answer.text


def test_the_openapi_is_valid_and_shown(tmp_path: Path) -> None:
    with client(tmp_path) as web:
        validate(web.get("/openapi.json").json())
        assert "/v1/videos" in web.get("/docs").text


@pytest.mark.parametrize("known", ["fake", "nobody"])
def test_every_get_answers_as_the_openapi_describes(tmp_path: Path, known: str) -> None:
    with client(tmp_path) as web:
        described = web.get("/openapi.json").json()
        for path, operations in described["paths"].items():
            operation = operations.get("get")
            if operation is None:
                continue
            answer = web.get(path.replace("{name}", known).replace("{video}", known))
            _check(described, operation, answer)


def test_every_route_describes_its_errors_as_problems(tmp_path: Path) -> None:
    with client(tmp_path) as web:
        described = web.get("/openapi.json").json()
    for path, operations in described["paths"].items():
        for operation in operations.values():
            content = operation["responses"]["default"]["content"]
            assert list(content) == [PROBLEM], path
            refused = operation["responses"].get("422", {"content": content})
            assert PROBLEM in refused["content"], path
    assert "HTTPValidationError" not in described["components"]["schemas"]


def _check(described: dict[str, Any], operation: dict[str, Any], answer: Any) -> None:
    """The answer is one that the operation describes: its status, media type and schema."""
    responses = operation["responses"]
    response = responses.get(str(answer.status_code), responses["default"])
    media_type = answer.headers["content-type"].partition(";")[0]
    found = {name.partition(";")[0]: body for name, body in response["content"].items()}
    assert media_type in found, f"{answer.url} answers {media_type}, not {list(found)}"
    if media_type.endswith("json"):
        schema = found[media_type]["schema"] | {"components": described["components"]}
        jsonschema.validate(answer.json(), schema)


def _fail() -> bytes:
    raise RuntimeError("a secret")
