"""/v1/videos: upload videos, watch them, download their results, cancel and remove them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from server.database.video_record import VideoRecord, VideoState
from server.errors import NotFound
from server.sinks.recorder import ARTEFACTS
from server.videos.jobs import Jobs
from server.videos.progress import Video
from server.videos.unfinished import UNFINISHED
from server.web.access.auth import caller_of
from server.web.problems import PROBLEMS
from server.web.videos.disposition import offered, video_type
from server.web.videos.outputs import Asked
from server.web.videos.stored_file import answer_kept
from server.web.videos.unfinished_file import answer_unfinished
from server.web.videos.upload import announced_size, receive
from server.web.videos.uploading import count_upload
from server.web.videos.video_body import (
    ARTEFACT_ANSWERS,
    ARTEFACT_CONDITIONS,
    EVENT_ANSWERS,
    FILE_ANSWERS,
    INLINE,
    MEDIA_TYPES,
    UPLOAD,
    VideoBody,
    VideoPage,
    path_of,
    video_body,
)
from server.web.videos.video_request import own_key, video_request


def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


async def _check_access(request: Request) -> None:
    """Raise NotFound if a video is another key's, and Elsewhere if other servers have its files,
    unless only its row is requested."""
    video = request.path_params.get("video")
    if video is None:
        return
    caller, reads_row = caller_of(request), _reads_row(request, video)
    if caller.only_own is None and reads_row:
        return
    record = (await _jobs(request).find(video)).record
    if not caller.owns(record.owner):
        raise NotFound("There is no such video: it was removed, or its id is wrong.")
    if not reads_row:
        request.app.state.service.membership.check_videos(record.server)


def _reads_row(request: Request, video: str) -> bool:
    """Return whether a request needs only the row of a video, which every server can read."""
    is_read = request.method in ("GET", "HEAD") and "name" not in request.path_params
    return is_read and request.url.path.endswith(f"/{video}")


router = APIRouter(
    prefix="/v1/videos",
    tags=["videos"],
    responses=PROBLEMS,
    dependencies=[Depends(_check_access)],
)

JobsOf = Annotated[Jobs, Depends(_jobs)]
NO_NUL = r"^[^\x00]*$"
"""PostgreSQL rejects text that contains NUL."""
VideoId = Annotated[str, Path(max_length=64, pattern=NO_NUL)]
ArtefactName = Annotated[str, Path(json_schema_extra={"enum": [*ARTEFACTS]})]
"""Checked by the route: an unknown artefact is not found, like any other unknown path."""
Cursor = Annotated[
    str | None, Query(max_length=64, pattern=NO_NUL, description="`next` of the last page")
]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)]


@router.post("", status_code=202, openapi_extra=UPLOAD, dependencies=[Depends(count_upload)])
async def upload_video(
    request: Request,
    response: Response,
    *,
    jobs: JobsOf,
    asked: Asked,
    name: Annotated[
        str | None, Query(max_length=255, description="file name, if the body is the file itself")
    ] = None,
    key: Key = None,
) -> VideoBody:
    """Queue a video. If the same bytes are sent again with the same Idempotency-Key, the video
    queued before is returned."""
    owner, hosts = caller_of(request).id, jobs.settings.callback_hosts
    key = own_key(key, owner)
    video_request(asked, None, key, jobs.classes, owner, hosts)
    await jobs.arrivals.check_capacity(announced_size(request, jobs.settings.max_bytes), key, owner)
    async with jobs.arrivals.place() as (video, path):
        upload = await receive(request, path, jobs.settings.max_bytes, jobs.arrivals.check_room)
        fields = {"name": name, **asked, **upload.fields}
        wanted = video_request(fields, upload.name, key, jobs.classes, owner, hosts)
        accepted = await jobs.arrivals.accept(video, path, wanted, upload.size, upload.digest)
    response.headers["Location"] = path_of(accepted.record.id, request.url_for)
    return video_body(accepted, request.url_for)


@router.get("")
async def list_videos(
    request: Request,
    jobs: JobsOf,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Cursor = None,
) -> VideoPage:
    """List all videos, newest first."""
    found = await jobs.page(limit + 1, cursor, caller_of(request).only_own)
    shown = found[:limit]
    following = shown[-1].record.id if len(found) > limit else None
    return VideoPage(videos=[video_body(v, request.url_for) for v in shown], next=following)


@router.get("/{video}")
async def get_video(request: Request, jobs: JobsOf, video: VideoId) -> VideoBody:
    """Return one video: its state, progress and links."""
    return video_body(await jobs.find(video), request.url_for)


@router.delete("/{video}", status_code=204)
async def delete_video(jobs: JobsOf, video: VideoId) -> None:
    """Cancel a video that has not ended; remove one that has, with its files."""
    await jobs.delete(video)


async def _unseen(
    response: Response,
    jobs: JobsOf,
    video: VideoId,
    seen: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> AsyncIterator[Video]:
    """Return the changes of a video since the one that the client received last.

    The events are sent after the response's headers, so a status other than 200 is set here.
    """
    now = await jobs.find(video)
    if now.record.state.ended and now.version == seen:
        response.status_code = 204
    response.headers["Cache-Control"] = "no-store"
    return jobs.watch(video, seen)


@router.get("/{video}/events", response_class=EventSourceResponse, responses=EVENT_ANSWERS)
async def watch_video(
    request: Request, changes: Annotated[AsyncIterator[Video], Depends(_unseen)]
) -> AsyncIterator[ServerSentEvent]:
    """Send the video now and after each change, as server-sent events. A client that reconnects
    with the last id it received gets only later changes."""
    if request.method == "HEAD":
        # There is no body, so there are no events to wait for.
        return
    async for change in changes:
        yield ServerSentEvent(data=video_body(change, request.url_for), id=change.version)


@router.get(
    "/{video}/source",
    response_class=FileResponse,
    responses=FILE_ANSWERS,
    openapi_extra=ARTEFACT_CONDITIONS,
)
async def get_source(request: Request, jobs: JobsOf, video: VideoId) -> Response:
    """Download the uploaded file while it is kept; Range and If-Range select parts of it."""
    record, file = await jobs.outputs.source(video)
    return await answer_kept(
        request, file, video_type(record.name), offered("attachment", record.name)
    )


@router.get(
    "/{video}/{name}",
    response_class=FileResponse,
    responses=ARTEFACT_ANSWERS,
    openapi_extra=ARTEFACT_CONDITIONS,
)
async def get_artefact(
    request: Request, jobs: JobsOf, video: VideoId, name: ArtefactName
) -> Response:
    """Download an artefact of a video that has succeeded; Range and If-Range select parts of it.

    While a video runs, the poster shows one of its frames so far, and the overlay is sent while it
    grows, as fragmented MP4 without a length, validators or parts."""
    if name not in ARTEFACTS:
        raise NotFound(f"A video has no {name!r}; choose from {', '.join(ARTEFACTS)}.")
    record = (await jobs.find(video)).record
    if record.state is VideoState.RUNNING and name in UNFINISHED and name in record.artefacts:
        answer = await answer_unfinished(request.method, jobs, video, name, _offer(record, name))
        if answer is not None:
            return answer
    record, file = await jobs.outputs.artefact(video, name)
    return await answer_kept(request, file, MEDIA_TYPES[name], _offer(record, name))


def _offer(record: VideoRecord, artefact: str) -> str:
    """Return the Content-Disposition of an artefact, named after its video; artefacts that browsers
    show are inline."""
    kind = "inline" if artefact in INLINE else "attachment"
    return offered(kind, f"{record.name.rpartition('.')[0] or record.name}.{artefact}")
