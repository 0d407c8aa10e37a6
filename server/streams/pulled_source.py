"""Opening the source at a pulled stream's address."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from models.spec import ModelSpec
from server.dialling.dial import Guard
from server.errors import BadRequest
from server.settings import LiveSettings
from server.sources.base import Source
from server.sources.container import ContainerSource
from server.sources.hardware import Hardware
from server.sources.holding import Pictures
from server.sources.sandbox.decoder import Sandbox
from server.streams.definition import StreamDefinition


class OpenSource(Protocol):
    """Opens a definition's source; a file from ``start`` on, in seconds of its own time."""

    def __call__(
        self, definition: StreamDefinition, spec: ModelSpec, start: Fraction | None = None, /
    ) -> Source: ...


def source_opener(
    settings: LiveSettings,
    max_pixels: int,
    hardware: Hardware | None,
    guard: Guard | None,
    pictures: Pictures | None = None,
    sandbox: Sandbox | None = None,
) -> OpenSource:
    """Return a function that opens a definition's source: a camera or a file of the allowed folder.

    Original pictures are kept, since a viewer may request an overlay at any time; ``pictures``
    bounds those of all streams. A ``sandbox`` decodes them, on the CPU. The function raises
    BadRequest if the server may no longer play that file.
    """

    def open_source(
        definition: StreamDefinition, spec: ModelSpec, start: Fraction | None = None, /
    ) -> Source:
        location = _file(definition, settings) if definition.is_file else definition.url
        return ContainerSource(
            location,
            spec.height,
            spec.width,
            live=not definition.is_file,
            keep_original=True,
            start=start,
            max_pixels=max_pixels,
            timeout=settings.connect_seconds,
            hardware=None if sandbox else hardware,
            sandbox=sandbox,
            guard=guard,
            room=None if pictures is None else pictures.of_one(),
        )

    return open_source


def _file(definition: StreamDefinition, settings: LiveSettings) -> Path:
    path = unquote(urlsplit(definition.url).path).lstrip("/")
    if settings.files is None or ".." in Path(path).parts:
        raise BadRequest("The server may not play this file: see MASTREAM_LIVE__FILES.")
    return settings.files / path
