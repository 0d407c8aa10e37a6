"""Every operation of the OpenAPI document, called on a real server with requests by schemathesis.

An answer must be one that the document describes, and none may be a failure of the server.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from server_process import RunningServer, server_process

from server.app import create_app
from server.settings import Settings

CASES = 6
"""Number of requests per operation, for valid and for invalid ones."""

ENDLESS = ("/events", "/preview")
UNAVAILABLE = (502, 503)
"""A camera that does not answer, and a server that is full."""

CHECKS = [content_type_conformance, response_schema_conformance, status_code_conformance]

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")

SCHEMA = schemathesis.openapi.from_dict(create_app(Settings()).openapi())
OPERATIONS = {
    operation.ok().label: operation.ok()
    for operation in SCHEMA.get_all_operations()
    if not operation.ok().path.endswith(ENDLESS)
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("data")
    # Only hosts that are listed are opened: a generated name is looked up nowhere.
    with server_process(folder, live__hosts='["127.0.0.1"]', log_level="critical") as running:
        yield running


def test_the_document_has_every_kind_of_operation() -> None:
    assert {label.split()[0] for label in OPERATIONS} >= {"GET", "POST", "PATCH", "DELETE"}
    assert len(OPERATIONS) > 20


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("label", OPERATIONS)
def test_answers_are_those_of_the_document(
    server: RunningServer, label: str, mode: schemathesis.GenerationMode
) -> None:
    @settings(
        max_examples=CASES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    def call(case: Any) -> None:
        response = case.call(base_url=server.http, timeout=30)
        status = response.status_code
        assert status < 500 or status in UNAVAILABLE, (status, response.text)
        case.validate_response(response, checks=CHECKS)

    try:
        call()
    except Unsatisfiable:
        assert mode is schemathesis.GenerationMode.NEGATIVE
        pytest.skip("every request that can be made of this operation is valid")
