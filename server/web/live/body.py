"""The JSON that /v1/streams reads and writes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.datastructures import URL

from protocol import DropPolicy
from server.errors import BadRequest
from server.security.addresses import AddressRules, check_host, host_and_port
from server.settings import LiveSettings
from server.sinks.publishing import PublishState
from server.streams.definition import StreamDefinition
from server.streams.pulled import PulledStream
from server.streams.states import StreamState

UrlFor = Callable[..., URL]
"""Starlette's ``request.url_for``."""

NAME = r"^[a-z0-9][a-z0-9-]{0,63}$"


def _a_url(given: str) -> str:
    parts = urlsplit(given)
    assert parts.scheme and (parts.netloc or parts.path), "give a URL such as rtsp://host/path"
    assert all(c.isprintable() and c != " " for c in given), "a URL has no spaces: escape them"
    return given


AnyUrl = Annotated[str, Field(max_length=2048), AfterValidator(_a_url)]
OnChangeField = Literal["reset", "keep"]


class StreamRequest(BaseModel):
    """A stream that the server is to pull."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=NAME, description="lower-case letters, digits and hyphens")
    url: AnyUrl = Field(description="rtsp, rtsps, http or https; file, if the server allows it")
    policy: DropPolicy = DropPolicy.LATEST
    budget_ms: float | None = Field(
        None, gt=0, le=1e9, description="milliseconds; older frames are dropped"
    )
    max_fps: float | None = Field(
        None, gt=0, le=1000, description="frames per second; further frames are skipped"
    )
    loop: bool = Field(False, description="begin a file again at its end")
    max_gap: float = Field(
        2.0, gt=0, le=3600, description="seconds of pause after which `on_gap` applies"
    )
    on_gap: OnChangeField = "reset"
    on_connect: OnChangeField = Field("reset", description="what a new connection does to memory")
    on_size: OnChangeField = "reset"
    on_cut: OnChangeField = Field("reset", description="what a scene cut does to the memory")
    publish: AnyUrl | None = Field(None, description="an RTSP address to restream the overlay to")
    paused: bool = False

    def definition(self, settings: LiveSettings, rules: AddressRules) -> StreamDefinition:
        """Return the definition.

        Raises BadRequest if the server opens no such addresses, and SourceForbidden if it may not
        open this one; the name is not resolved yet.
        """
        _check_source(self.url, settings, rules)
        if self.publish is not None and urlsplit(self.publish).scheme not in ("rtsp", "rtsps"):
            raise BadRequest("Streams are published by RTSP only: begin `publish` with rtsp://.")
        if self.publish is not None:
            check_host(host_and_port(self.publish)[0], rules)
        return StreamDefinition(**self.model_dump())


class StreamChange(BaseModel):
    """The changes of a stream; absent fields stay as they are."""

    model_config = ConfigDict(extra="forbid")

    paused: bool | None = None
    record: bool | None = Field(
        None, description="begin a recording, which empties the memory, or end it"
    )


class Rates(BaseModel):
    """Frames per second over the last ten seconds, and milliseconds from arrival to mask."""

    fps_in: float
    fps_out: float
    latency_p50: float | None
    latency_p99: float | None


class PublishBody(BaseModel):
    """How the overlay is restreamed. The url is shown without user name, password and query."""

    url: str
    state: PublishState
    detail: str = Field(description="the last failure, in a sentence; empty if there was none")
    sent: int
    skipped: int = Field(description="masks that a newer one replaced before they were sent")


class StreamBody(BaseModel):
    """The current state of one pulled stream. The url is shown without user name, password and
    query."""

    name: str
    url: str
    policy: DropPolicy
    paused: bool
    state: StreamState
    since: float = Field(description="seconds in this state")
    code: str = Field(description="why it is not live, as a stable word; empty if it is")
    detail: str = Field(description="the same in a sentence")
    connections: int = Field(description="how often it was opened")
    viewers: int
    width: int
    height: int
    frames: int
    masks: int
    passed_over: int = Field(description="frames beyond `max_fps`")
    drops: dict[str, int] = Field(description="frames without a mask, by cause")
    recording: str | None = Field(description="the id of the recording that is being made")
    lost_by_viewers: int = Field(description="masks that slow viewers did not get")
    mask_age: float | None = Field(
        description="seconds since the picture of the newest mask arrived; null before the first"
    )
    resets: dict[str, int] = Field(description="how often the memory was emptied, by cause")
    rates: Rates
    publish: PublishBody | None
    created: datetime
    links: dict[str, str]


class StreamElsewhere(BaseModel):
    """A stream that another server on the same database pulls."""

    name: str
    server: str | None = Field(description="that server's address; null if it is not known")


class StreamPage(BaseModel):
    """This server's pulled streams, the oldest first, and the addresses of other servers'
    streams."""

    streams: list[StreamBody]
    elsewhere: list[StreamElsewhere] = []


def stream_body(stream: PulledStream, url_for: UrlFor) -> StreamBody:
    """Return a stream as its JSON object, with links made by ``url_for``."""
    definition, status = stream.definition, stream.status
    return StreamBody(
        name=definition.name,
        url=definition.shown_url,
        policy=definition.policy,
        paused=definition.paused,
        state=status.state,
        since=round(status.since, 3),
        code=status.code,
        detail=status.detail,
        connections=status.connections,
        viewers=status.viewers,
        width=status.width,
        height=status.height,
        frames=status.frames,
        masks=status.masks,
        passed_over=status.passed_over,
        drops=dict(status.drops),
        recording=recording.name if (recording := stream.recording) else None,
        lost_by_viewers=status.lost_by_viewers,
        mask_age=None if status.mask_age is None else round(status.mask_age, 3),
        resets=dict(status.resets),
        rates=Rates(
            fps_in=round(status.fps_in, 2),
            fps_out=round(status.fps_out, 2),
            latency_p50=status.latency_p50,
            latency_p99=status.latency_p99,
        ),
        publish=_publish_body(stream),
        created=datetime.fromtimestamp(definition.created, UTC),
        links=_links(definition.name, url_for),
    )


def _publish_body(stream: PulledStream) -> PublishBody | None:
    url, publisher = stream.definition.shown_publish, stream.publisher
    if url is None or publisher is None:
        return None
    status = publisher.status
    return PublishBody(
        url=url,
        state=status.state,
        detail=status.detail,
        sent=status.sent,
        skipped=status.skipped,
    )


def _links(name: str, url_for: UrlFor) -> dict[str, str]:
    routes: dict[str, Any] = {
        "self": "get_stream",
        "preview": "preview_stream",
        "snapshot": "snapshot_stream",
        "events": "watch_stream",
    }
    found = {link: url_for(route, name=name).path for link, route in routes.items()}
    return found | {"masks": found["self"] + "/masks"}


def _check_source(url: str, settings: LiveSettings, rules: AddressRules) -> None:
    scheme = urlsplit(url).scheme
    if scheme == "file":
        _check_file(url, settings)
    elif scheme not in settings.schemes:
        allowed = ", ".join(settings.schemes)
        raise BadRequest(f"The server does not open {scheme[:16]}:// addresses: use {allowed}.")
    else:
        check_host(host_and_port(url)[0], rules)


def _check_file(url: str, settings: LiveSettings) -> None:
    if settings.files is None:
        raise BadRequest(
            "The server plays no files: set MASTREAM_LIVE__FILES to the folder of its files."
        )
    path = PurePosixPath(unquote(urlsplit(url).path))
    if ".." in path.parts or not (settings.files / str(path).lstrip("/")).is_file():
        raise BadRequest(
            f"There is no file {str(path)[:200]} in the folder that the server may play."
        )
