"""/v1/recordings: list, download and remove the recordings of streams."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from server.recordings.folder import SUFFIX, Recordings, Stored
from server.web.problems import PROBLEMS
from server.web.videos.artefact_file import ArtefactFile

_BINARY = "application/octet-stream"
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {_BINARY: {"schema": {"type": "string", "format": "binary"}}}}
}


class RecordingBody(BaseModel):
    """One recording."""

    id: str = Field(description="for a pushed stream, the `session` of its `ready`")
    stream: str | None = Field(description="a pulled stream's name, null for a pushed one")
    began: datetime | None = Field(description="null if the file is damaged")
    bytes: int
    recording: bool = Field(description="whether it is still being written")
    links: dict[str, str]


class RecordingPage(BaseModel):
    recordings: list[RecordingBody]


def recordings_router(recordings: Recordings) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/v1/recordings", tags=["recordings"], responses=PROBLEMS)

    @router.get("")
    def list_recordings(request: Request) -> RecordingPage:
        """List all recordings, newest first."""
        return RecordingPage(recordings=[_body(one, request) for one in recordings.all()])

    @router.get("/{id}", response_class=ArtefactFile, responses=_FILE)
    def get_recording(id: str) -> ArtefactFile:  # noqa: A002  the path's name for it
        """Download a recording, for `mastream replay`. A recording that is still being written ends
        at its current end."""
        file = recordings.find(id)
        return ArtefactFile(file, media_type=_BINARY, filename=f"{id}{SUFFIX}")

    @router.delete("/{id}", status_code=204)
    def remove_recording(id: str) -> None:  # noqa: A002  as above
        """Remove a recording; a `conflict` while it is still being written."""
        recordings.remove(id)

    return router


def _body(stored: Stored, request: Request) -> RecordingBody:
    link = request.url_for("get_recording", id=stored.name).path
    return RecordingBody(
        id=stored.name,
        stream=stored.stream or None,
        began=None if stored.began is None else datetime.fromtimestamp(stored.began, UTC),
        bytes=stored.nbytes,
        recording=stored.recording,
        links={"self": link},
    )
