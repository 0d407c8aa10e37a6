"""The database's own clock, which is the same for all servers that share it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class seconds_now(FunctionElement[float]):  # noqa: N801  an SQL function
    """Seconds since the epoch at the time of the statement, as a double."""

    type = sql.Double()
    inherit_cache = True


@compiles(seconds_now, "sqlite")
def _of_sqlite(_element: seconds_now, _compiler: Any, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(seconds_now, "postgresql")
def _of_postgresql(_element: seconds_now, _compiler: Any, **_: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"
