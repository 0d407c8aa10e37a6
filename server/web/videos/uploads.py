"""/v1/uploads: uploads that arrive in parts and survive lost connections, by tus 1.0.0."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from starlette.exceptions import HTTPException

from server.errors import BadRequest, BadVideo, NotFound, OffsetMismatch, UnsupportedMedia
from server.videos.upload_turns import Turn
from server.videos.uploads import NO_UPLOAD, Upload, Uploads
from server.web.access.auth import caller_of
from server.web.problems import PROBLEMS
from server.web.videos.routes import NO_NUL, Key
from server.web.videos.tus import EXTENSIONS, PART_TYPE, VERSION, expires, metadata
from server.web.videos.upload import check_size
from server.web.videos.upload_part import append
from server.web.videos.uploading import count_upload
from server.web.videos.video_request import own_key, video_request

_PART: dict[str, Any] = {
    "requestBody": {
        "description": "the next bytes of the file",
        "content": {PART_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}


def _uploads(request: Request) -> Uploads:
    uploads: Uploads = request.app.state.uploads
    return uploads


def _check_version(
    request: Request,
    response: Response,
    version: Annotated[str | None, Header(alias="Tus-Resumable")] = None,
) -> None:
    if version not in (None, VERSION) and request.method != "OPTIONS":
        raise HTTPException(412, f"Only tus {VERSION} is supported", {"Tus-Version": VERSION})
    response.headers["Tus-Resumable"] = VERSION


async def _check_owner(request: Request) -> None:
    """Raise NotFound if an upload is another key's, Elsewhere if another server receives it."""
    upload = request.path_params.get("upload")
    if upload is not None and request.method != "OPTIONS":
        found = (await _uploads(request).find(upload)).record
        if not caller_of(request).owns(found.request.get("owner", "")):
            raise NotFound(NO_UPLOAD)
        request.app.state.service.membership.check_here(found.server, "The upload")


UploadsOf = Annotated[Uploads, Depends(_uploads)]
UploadId = Annotated[str, Path(max_length=64, pattern=NO_NUL)]
Length = Annotated[int | None, Header(alias="Upload-Length", ge=0, description="bytes")]
Offset = Annotated[int, Header(alias="Upload-Offset", ge=0, description="bytes sent so far")]
Metadata = Annotated[
    str | None,
    Header(alias="Upload-Metadata", description="filename and fields of the video, in Base64"),
]

router = APIRouter(
    prefix="/v1/uploads",
    tags=["uploads"],
    responses=PROBLEMS,
    dependencies=[Depends(_check_version), Depends(_check_owner)],
)


@router.options("", status_code=204)
@router.options("/{upload}", status_code=204, include_in_schema=False)
async def describe_uploads(response: Response, uploads: UploadsOf) -> None:
    """Describe the supported parts of tus."""
    response.headers["Tus-Version"] = VERSION
    response.headers["Tus-Extension"] = EXTENSIONS
    response.headers["Tus-Max-Size"] = str(uploads.settings.max_bytes)


@router.post("", status_code=201, openapi_extra=_PART, dependencies=[Depends(count_upload)])
async def create_upload(
    request: Request,
    response: Response,
    *,
    uploads: UploadsOf,
    length: Length = None,
    given: Metadata = None,
    key: Key = None,
) -> None:
    """Begin an upload, with its first bytes if there is a body. With the Idempotency-Key of an
    earlier upload, continue that one."""
    if length is None:
        raise BadRequest("Upload-Length is missing: send the size of the file in bytes.")
    if not length:
        raise BadVideo("The upload is empty: send the bytes of a video.")
    check_size(length, uploads.settings.max_bytes)
    with_part = _has_part(request)
    fields, owner = metadata(given), caller_of(request).id
    wanted = video_request(
        fields,
        fields.get("filename"),
        own_key(key, owner),
        uploads.classes,
        owner,
        uploads.settings.callback_hosts,
    )
    upload = await uploads.create(wanted, length)
    response.headers["Location"] = request.url_for("find_upload", upload=upload.record.id).path
    if with_part and upload.offset == 0:
        async with uploads.turn(upload.record.id) as turn:
            upload = await _appended(request, uploads, upload, turn)
    _describe(request, response, upload)


@router.head("/{upload}")
async def find_upload(
    request: Request, response: Response, uploads: UploadsOf, upload: UploadId
) -> Response:
    """Report how many bytes have arrived, and the video, once the upload is complete."""
    async with uploads.turn(upload):
        await uploads.sync(upload)
        found = await uploads.find(upload)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Upload-Length"] = str(found.record.length)
    _describe(request, response, found)
    return Response(headers=response.headers)


@router.patch(
    "/{upload}", status_code=204, openapi_extra=_PART, dependencies=[Depends(count_upload)]
)
async def continue_upload(
    request: Request,
    response: Response,
    *,
    uploads: UploadsOf,
    upload: UploadId,
    offset: Offset,
) -> None:
    """Append bytes; with the last one the video is queued, as by POST /v1/videos. An empty body
    requests the result of a complete upload again."""
    if not _has_part(request):
        raise UnsupportedMedia(f"The part's Content-Type must be {PART_TYPE}.")
    async with uploads.turn(upload) as turn:
        found = await uploads.find(upload)
        if offset != found.offset:
            raise OffsetMismatch(
                f"The upload has {found.offset} bytes, the part begins at {offset}: ask with HEAD "
                "where to continue."
            )
        found = await _appended(request, uploads, found, turn)
    _describe(request, response, found)


@router.delete("/{upload}", status_code=204)
async def remove_upload(uploads: UploadsOf, upload: UploadId) -> None:
    """Remove an upload with its bytes. A video that it has become stays."""
    async with uploads.turn(upload):
        await uploads.remove(upload)


@router.post("/{upload}", status_code=204, include_in_schema=False)
async def overridden(
    request: Request,
    response: Response,
    *,
    uploads: UploadsOf,
    upload: UploadId,
    method: Annotated[str, Header(alias="X-HTTP-Method-Override")],
    offset: Offset = 0,
) -> None:
    """Do what PATCH and DELETE do, for clients and proxies that know only GET and POST."""
    if method == "PATCH":
        await continue_upload(request, response, uploads=uploads, upload=upload, offset=offset)
    elif method == "DELETE":
        await remove_upload(uploads, upload)
    else:
        raise BadRequest("X-HTTP-Method-Override must be PATCH or DELETE.")


async def _appended(request: Request, uploads: Uploads, upload: Upload, turn: Turn) -> Upload:
    """Append the request's body, queue the video if it is complete, and return the upload."""
    name = upload.record.id
    if not upload.complete:
        missing = upload.record.length - upload.offset
        await append(request, uploads.path(name), missing, uploads.check_room, turn)
        upload = await uploads.find(name)
    return await uploads.complete(name) if upload.complete else upload


def _has_part(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip() == PART_TYPE


def _describe(request: Request, response: Response, upload: Upload) -> None:
    response.headers["Upload-Offset"] = str(upload.offset)
    response.headers["Upload-Expires"] = expires(upload.expires)
    if upload.record.video is not None:
        found = request.url_for("get_video", video=upload.record.video)
        response.headers["Video-Location"] = found.path
