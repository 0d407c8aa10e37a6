"""Decide whether traces are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.errors import BadRequest
from server.settings import TelemetrySettings

if TYPE_CHECKING:
    from server.telemetry.tracing import Tracing


def make_tracing(settings: TelemetrySettings) -> Tracing | None:
    """Return the tracing, or None if it is off; then the SDK is not even loaded.

    Raises BadRequest if its packages are not installed.
    """
    if settings.endpoint is None:
        return None
    try:
        from server.telemetry.tracing import exporting  # noqa: PLC0415  an extra
    except ImportError as error:
        raise BadRequest(
            f"MASTREAM_TELEMETRY__ENDPOINT is set, but OpenTelemetry is not installed ({error}): "
            "install mastream[otel], or unset it."
        ) from error
    return exporting(settings)
