"""A client's request with an upload, from the fields that it sent."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from models.spec import ClassLabel
from server.sinks.recorder import chosen_artefacts
from server.sinks.style import chosen_style
from server.videos.callbacks import check_callback
from server.videos.request import VideoRequest


def video_request(
    fields: Mapping[str, str | None],
    filename: str | None,
    key: str | None,
    classes: Sequence[ClassLabel],
    owner: str = "",
    hosts: Collection[str] = (),
) -> VideoRequest:
    """Return the request of an upload: ``fields`` are those of its query, form or metadata, ``key``
    is that of :func:`own_key`.

    The file's own name precedes the field ``name``. ``classes`` are the model's, and ``hosts`` may
    be called. Raises BadRequest if a field is not valid.
    """
    style = chosen_style(fields.get("classes"), fields.get("opacity"))
    return VideoRequest(
        name=shown_name(filename or fields.get("name")),
        artefacts=chosen_artefacts(fields.get("artefacts")),
        style=style.of(classes),
        key=key,
        owner=owner,
        callback_url=check_callback(fields.get("callback_url"), hosts),
    )


def own_key(key: str | None, owner: str) -> str | None:
    """Return an idempotency key as it is stored: keys of different API keys never collide."""
    return f"{owner}:{key}" if key and owner else key


def shown_name(given: str | None) -> str:
    """Return a file's name for display: no folders, only printable characters, at most 255."""
    last = (given or "").replace("\\", "/").rpartition("/")[2]
    shown = "".join(c for c in last if c.isprintable()).strip()[:255]
    return shown if shown.strip(". ") else "video"
