"""The base of all groups of settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Group(BaseModel):
    """Frozen values; a field that the group does not have is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
