"""The results that an upload requests are made, and no others."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
from fastapi.testclient import TestClient

from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.settings import Settings, VideoSettings
from server.sinks.recorder import ARTEFACTS, USUAL

SPEC = fake_spec(48, 64)
NAMES = [label.name for label in SPEC.classes]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(folder=tmp_path / "data", videos=VideoSettings(min_free_bytes=0))
    with TestClient(create_app(settings, lambda: FakeEngine(SPEC))) as client:
        assert client.portal is not None
        client.portal.call(client.app.state.service.loaded)  # type: ignore[attr-defined]
        yield client


@pytest.fixture
def clip(tmp_path: Path, make_clip: Callable[..., Path]) -> bytes:
    return make_clip(tmp_path / "clip.mp4").read_bytes()


def made(client: TestClient, clip: bytes, **asked: str) -> dict[str, Any]:
    """Upload a video with these parameters and return it once it has succeeded."""
    video = client.post("/v1/videos", params=asked, content=clip).json()
    client.get(video["links"]["events"])
    done: dict[str, Any] = client.get(video["links"]["self"]).json()
    assert done["state"] == "succeeded", done["error"]
    return done


def test_chosen_classes_only_are_listed(client: TestClient, clip: bytes) -> None:
    chosen = NAMES[1:3]
    done = made(
        client, clip, artefacts="masks.json,classes.csv", classes=",".join(reversed(chosen))
    )
    assert (done["classes"], done["opacity"]) == (chosen, 0.5)
    assert done["artefacts"] == ["masks.json", "classes.csv", "poster.jpg"]
    document = client.get(done["links"]["masks.json"]).json()
    assert [one["name"] for one in document["categories"]] == chosen
    assert {one["category_id"] for one in document["annotations"]} <= {1, 2}
    assert len(document["images"]) == 12
    table = client.get(done["links"]["classes.csv"])
    assert table.headers["content-type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(table.text)))
    assert rows[0] == ["frame", "time", *chosen] and len(rows) == 13


def test_masks_and_summary_stay_complete(client: TestClient, clip: bytes) -> None:
    whole, some = (
        made(client, clip, **asked)
        for asked in ({}, {"classes": NAMES[0], "opacity": "1", "artefacts": ",".join(USUAL)})
    )
    for name in ("masks.mkv", "masks.zip"):
        assert (
            client.get(whole["links"][name]).content == client.get(some["links"][name]).content
        ), name
    summaries = [client.get(video["links"]["summary.json"]).json() for video in (whole, some)]
    assert summaries[0]["frames"] == summaries[1]["frames"]
    assert len(summaries[1]["classes"]) == len(NAMES)


def test_an_opacity_of_one_shows_the_classes_alone(client: TestClient, clip: bytes) -> None:
    done = made(client, clip, artefacts="summary.json", opacity="1", classes=NAMES[1])
    poster = client.get(done["links"]["poster.jpg"])
    assert poster.headers["content-type"] == "image/jpeg"
    assert poster.headers["content-disposition"].startswith("inline")
    picture = cv2.imdecode(np.frombuffer(poster.content, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert picture is not None and picture.shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"classes": "unicorn"}, "no class 'unicorn'"),
        ({"opacity": "1.5"}, "give a number from 0 to 1"),
        ({"artefacts": "masks.gif"}, "no artefact 'masks.gif'"),
    ],
)
def test_what_cannot_be_made_is_refused_before_the_upload_and_in_a_form(
    asked: dict[str, str], words: str, client: TestClient, clip: bytes
) -> None:
    for answer in (
        client.post("/v1/videos", params=asked, content=b"no video: it is not read"),
        client.post("/v1/videos", files={"file": clip}, data=asked),
    ):
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_request")
        assert words in answer.json()["detail"]
    assert client.get("/v1/videos").json()["videos"] == []


def test_a_form_takes_precedence_over_the_query(client: TestClient, clip: bytes) -> None:
    form = {"opacity": "0.25", "classes": NAMES[2]}
    query = {"opacity": "0.75", "artefacts": "classes.csv"}
    video = client.post("/v1/videos", params=query, files={"file": clip}, data=form).json()
    assert (video["opacity"], video["classes"]) == (0.25, [NAMES[2]])
    assert video["artefacts"] == ["classes.csv", "poster.jpg"]


def test_a_key_stands_for_one_request_with_its_style(client: TestClient, clip: bytes) -> None:
    answers = [
        client.post(
            "/v1/videos", params=asked, content=clip, headers={"Idempotency-Key": "mine"}
        ).status_code
        for asked in ({}, {"opacity": "0.5"}, {"opacity": "0.6"}, {"classes": NAMES[0]})
    ]
    assert answers == [202, 202, 409, 409]


def test_the_documentation_knows_every_choice(client: TestClient, clip: bytes) -> None:
    described = client.get("/openapi.json").json()
    upload = described["paths"]["/v1/videos"]["post"]
    parameters = {one["name"]: one for one in upload["parameters"]}
    assert parameters["artefacts"]["schema"]["items"]["enum"] == list(ARTEFACTS)
    assert parameters["classes"]["explode"] is False
    assert parameters["opacity"]["schema"]["maximum"] == 1
    form = upload["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert set(form) == {"file", "artefacts", "classes", "opacity", "callback_url"}
    answers = described["paths"]["/v1/videos/{video}/{name}"]["get"]["responses"]["200"]["content"]
    schema = answers["application/json"]["schema"] | {"components": described["components"]}
    done = made(client, clip, artefacts="masks.json")
    document = client.get(done["links"]["masks.json"]).json()
    jsonschema.validate(document, schema)
    body = described["components"]["schemas"]["ListingBody"]
    assert set(body["properties"]) == set(document), "each field is described, and no other"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(json.dumps(document).replace("bbox", "box")), schema)
