"""An artefact as the answer to a request."""

from __future__ import annotations

from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException
from starlette.responses import MalformedRangeHeader, RangeNotSatisfiable

from server.errors import BadInput


class ArtefactFile(FileResponse):
    """A file, or the part that Range asks for. A Range that cannot be met is a problem like every
    other error; starlette alone would answer it with plain text."""

    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[tuple[int, int]]:
        try:
            return super()._parse_range_header(http_range, file_size)
        except MalformedRangeHeader as error:
            raise BadInput("the Range header is not valid: ask for bytes=FIRST-LAST") from error
        except RangeNotSatisfiable as error:
            size = {"Content-Range": f"bytes */{error.max_size}"}
            words = f"the file has {error.max_size} bytes, the Range begins behind them"
            raise HTTPException(416, words, size) from error
