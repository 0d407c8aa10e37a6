"""Problems: every kind of error as one kind of answer."""

from __future__ import annotations

from typing import Annotated

import pytest
from fastapi import FastAPI, Query
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
    async def typed(
        size: Annotated[int, Query(ge=1, le=9)],
        name: Annotated[str, Query(min_length=2, max_length=3, pattern="^[a-z]*$")],
        share: float = 0,
    ) -> None:
        raise AssertionError(f"{size} {name} {share}")

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
    assert answer.json()["errors"] == [
        {"field": "query.size", "detail": "must be a whole number"},
        {"field": "query.name", "detail": "is missing"},
    ]
    words = "The request is not valid: query.size must be a whole number; query.name is missing."
    assert answer.json()["detail"] == words


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("size=1.5&name=abc", "query.size must be a whole number"),
        ("size=1e400&name=abc", "query.size must be a whole number"),
        ("size=NaN&name=abc", "query.size must be a whole number"),
        ("size=%ED%A0%80&name=abc", "query.size must be a whole number"),
        (f"size={'9' * 5000}&name=abc", "query.size must be a whole number of fewer digits"),
        ("size=0&name=abc", "query.size must be at least 1"),
        ("size=10&name=abc", "query.size must be at most 9"),
        ("size=1&name=a", "query.name must have at least 2 characters"),
        ("size=1&name=abcd", "query.name must have at most 3 characters"),
        ("size=1&name=ABC", "query.name has a character that is not allowed"),
        ("size=1&name=abc&share=much", "query.share is not valid"),
    ],
)
def test_what_is_wrong_with_a_field_is_reported_in_our_own_words(query: str, detail: str) -> None:
    answer = client().get(f"/typed?{query}")
    assert answer.status_code == 422
    assert answer.json()["detail"] == f"The request is not valid: {detail}."


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
