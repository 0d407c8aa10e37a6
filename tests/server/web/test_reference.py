"""/docs: the reference of the API, without requests to other hosts."""

from __future__ import annotations

import re
from pathlib import Path

from fastapi.testclient import TestClient

from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.settings import Settings
from server.web.reference import render


def test_it_names_every_operation_and_object_and_no_other_host(tmp_path: Path) -> None:
    app = create_app(Settings(folder=tmp_path), lambda: FakeEngine(fake_spec(48, 64)))
    web = TestClient(app)
    answer, described = web.get("/docs"), app.openapi()
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    for path, methods in described["paths"].items():
        for method in methods:
            assert f"<b>{method.upper()}</b> <code>{path}</code>" in answer.text
    assert all(f'id="{name}"' in answer.text for name in described["components"]["schemas"])
    loaded = re.findall(r'(?:src|href)="([^"]*)"', answer.text)
    assert set(loaded) - {"openapi.json"} <= {f"#{n}" for n in described["components"]["schemas"]}
    assert not re.search(r"<script|<link|<iframe|@import|url\(|\son\w+=", answer.text)


def test_its_policy_allows_its_own_style_alone(tmp_path: Path) -> None:
    app = create_app(Settings(folder=tmp_path), lambda: FakeEngine(fake_spec(48, 64)))
    policy = TestClient(app).get("/docs").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy and "http" not in policy


def test_what_a_description_says_is_text() -> None:
    page = render(
        {
            "info": {"title": "<b>", "version": "1", "description": "a\n\nb <i>"},
            "paths": {
                "/x": {
                    "get": {
                        "summary": "<script>",
                        "parameters": [{"name": "n", "in": "query", "schema": {"type": "integer"}}],
                        "responses": {"200": {"description": "fine"}},
                    }
                }
            },
        }
    )
    assert "&lt;script&gt;" in page and "<script>" not in page
    assert "<p>a</p>\n<p>b &lt;i&gt;</p>" in page
    assert "<code>n (query)</code><td>integer" in page
