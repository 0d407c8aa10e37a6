"""Problems: every kind of error as one kind of answer."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.testclient import TestClient

from server.errors import NoCapacity, TooLarge
from server.web import problems


def client() -> TestClient:
    app = FastAPI()
    problems.install(app)

    @app.get("/full", responses=problems.PROBLEMS)
    async def full() -> None:
        raise NoCapacity("all seats are taken")

    @app.get("/large")
    async def large() -> None:
        raise TooLarge("it is over the limit")

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a secret")

    @app.get("/typed")
    async def typed(size: int, name: str) -> None:
        raise AssertionError(f"{size} {name}")

    return TestClient(app, raise_server_exceptions=False)


def test_our_errors_carry_their_code_status_and_sentence() -> None:
    answer = client().get("/large")
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:mastream:error:too_large",
        "title": "too large",
        "status": 413,
        "code": "too_large",
        "detail": "it is over the limit",
    }


def test_a_full_server_says_when_to_come_back() -> None:
    assert client().get("/full").headers["retry-after"] == "1"


def test_wrong_fields_are_named() -> None:
    answer = client().get("/typed?size=big")
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_request")
    assert [one["field"] for one in answer.json()["errors"]] == ["query.size", "query.name"]


def test_a_wrong_method_keeps_its_allow_header() -> None:
    answer = client().post("/full")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"


def test_a_failure_of_ours_says_nothing_of_itself() -> None:
    answer = client().get("/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "fault")
    assert "secret" not in answer.text


def test_the_openapi_knows_the_problem_and_no_other_error() -> None:
    described = client().get("/openapi.json").json()
    assert "Problem" in described["components"]["schemas"]
    described_full = described["paths"]["/full"]["get"]["responses"]["default"]["content"]
    assert described_full["application/problem+json"]["schema"]["$ref"].endswith("/Problem")
