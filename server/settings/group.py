"""The base of all groups of settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


class Group(BaseModel):
    """Frozen values; a field that the group does not have is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _mounted(folder: Path) -> Path:
    """Raise ValueError if a folder is a URL, of which a local folder of that name would be made."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(folder)):
        raise ValueError(
            "must be a folder that is mounted, and not a URL: files are renamed and grow in it; "
            "set MASTREAM_VIDEOS__STORAGE to keep the results of videos in a bucket"
        )
    return folder


Folder = Annotated[Path, AfterValidator(_mounted)]
"""A folder to write to."""
