"""FFmpeg's errors become ours, are distinguished, and never repeat a URL."""

from __future__ import annotations

from errno import ECONNREFUSED, EHOSTUNREACH, EIO, ENETUNREACH, ETIMEDOUT

import av.error
import pytest

from server.errors import (
    SourceFault,
    SourceNotFound,
    SourceRefused,
    SourceSilent,
    SourceUnauthorized,
    SourceUnreachable,
)
from server.sources.camera_faults import broken_off, not_opened

URL = "rtsp://user:secret@camera/1"


def ffmpeg(name: str) -> av.error.FFmpegError:
    kind = getattr(av.error, name)
    code = next(code for code, one in av.error.classes.items() if one is kind)
    return kind(code, "Words of FFmpeg", URL)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (ffmpeg("HTTPUnauthorizedError"), SourceUnauthorized),
        (ffmpeg("HTTPForbiddenError"), SourceUnauthorized),
        (ffmpeg("HTTPNotFoundError"), SourceNotFound),
        (ffmpeg("HTTPBadRequestError"), SourceRefused),
        (ffmpeg("HTTPOtherClientError"), SourceRefused),
        (ffmpeg("HTTPServerError"), SourceFault),
        (ffmpeg("InvalidDataError"), SourceFault),
        (ffmpeg("ProtocolNotFoundError"), SourceFault),
        (ffmpeg("ExitError"), SourceSilent),
        *(
            (av.error.FFmpegError(code, "Words of FFmpeg", URL), SourceUnreachable)
            for code in (ECONNREFUSED, EHOSTUNREACH, EIO, ENETUNREACH, ETIMEDOUT)
        ),
    ],
)
def test_a_url_that_cannot_be_opened(error: av.error.FFmpegError, fault: type) -> None:
    made = not_opened(error, timeout=5.0, seconds=0.1)
    assert type(made) is fault
    assert "secret" not in str(made) and str(made)[0].isupper() and str(made)[-1] == "."
    assert type(not_opened(error, timeout=5.0, seconds=5.0)) is SourceSilent


def test_a_url_that_breaks_off() -> None:
    made = broken_off(ffmpeg("InvalidDataError"), 5.0)
    assert (
        type(made) is SourceFault
        and str(made) == "The connection to the source failed: Words of FFmpeg."
    )
    made = broken_off(ffmpeg("ExitError"), 5.0)
    assert type(made) is SourceSilent and str(made) == "The source sent nothing for 5 s."
