"""Methods: HEAD for every GET, and an Allow header that names all methods of a path."""

from __future__ import annotations

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from server.web import problems
from server.web.methods import heads_of

PATHS = ("/things", "/things/a", "/things/a/part", "/plain")


@pytest.fixture(scope="module")
def client() -> TestClient:
    app, router = FastAPI(), APIRouter(prefix="/things")

    @router.get("")
    async def listed() -> list[str]:
        return ["a"]

    @router.post("")
    async def add() -> None: ...

    @router.get("/{thing}")
    async def find(thing: str) -> str:
        return thing

    @router.delete("/{thing}")
    async def remove(thing: str) -> None: ...

    @router.get("/{thing}/part")
    async def part(thing: str) -> str:
        return thing

    @app.get("/plain")
    async def plain() -> None: ...

    app.include_router(router)
    app.include_router(heads_of(router))
    problems.install(app)
    return TestClient(app)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/things", "GET, HEAD, POST"),
        ("/things/a", "GET, HEAD, DELETE"),
        ("/things/a/part", "GET, HEAD"),
        ("/plain", "GET"),
    ],
)
def test_allow_names_every_method_of_the_path(path: str, allowed: str, client: TestClient) -> None:
    for method in {"PUT", "PATCH", "OPTIONS", "POST", "DELETE", "BREW"} - {*allowed.split(", ")}:
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed), method
        assert answer.json()["code"] == "method_not_allowed"


def test_head_answers_as_get_without_the_body(client: TestClient) -> None:
    for path in PATHS[:3]:
        get, head = client.get(path), client.head(path)
        assert (get.status_code, head.status_code) == (200, 200)
        assert head.content == b""
        assert head.headers == get.headers


def test_heads_are_no_operations_of_their_own(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["paths"]
    assert {method for operations in described.values() for method in operations} == {
        "get",
        "post",
        "delete",
    }
