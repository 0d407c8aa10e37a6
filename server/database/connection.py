"""One database: its connections, and the migration of its tables.

Any SQLAlchemy URL works; an SQLite file is the default, and PostgreSQL is tested, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import SQLAlchemyError

from server.database.migrating import migrate
from server.errors import Fault
from server.settings import Settings


def sqlite_url(path: Path) -> str:
    """Return the URL of a database in a file."""
    return sql.URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def open_database(settings: Settings) -> Database:
    """Open the database that is set, or the SQLite file in the folder. Raises Fault."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    return Database(settings.videos.database or sqlite_url(settings.folder / "videos.db"))


class Database:
    """Connections to one database. Synchronous; any thread may use it.

    Raises Fault if the database fails, or if a newer version of mastream has used it.
    """

    def __init__(self, url: str) -> None:
        with translated():
            # After a restart of the database the first request must not fail.
            self._engine = sql.create_engine(url, pool_pre_ping=True, **_timeouts(url))
        if self._engine.dialect.name == "sqlite":
            sql.event.listen(self._engine, "connect", _prepare_sqlite)
        try:
            with translated():
                migrate(self._engine)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def begin(self) -> Iterator[sql.Connection]:
        """Run a block in one transaction."""
        with translated(), self._engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections. Idempotent."""
        self._engine.dispose()


@contextmanager
def translated() -> Iterator[None]:
    """Translate SQLAlchemy's errors, and that of a missing driver, to Fault."""
    try:
        yield
    except SQLAlchemyError as error:
        raise Fault(f"The database failed: {str(error).splitlines()[0]}") from error
    except ImportError as error:
        raise Fault(
            f"The database's driver is not installed ({error}): for PostgreSQL install "
            "mastream[cluster] and begin the URL with postgresql+psycopg://."
        ) from error


def _timeouts(url: str) -> dict[str, Any]:
    """Return the timeouts for a remote database: one that hangs must not block the threads that
    uploads and metrics need."""
    if sql.make_url(url).get_backend_name() != "postgresql":
        return {}
    limits = {"connect_timeout": 5, "options": "-c statement_timeout=10000"}
    return {"pool_timeout": 5, "connect_args": limits}


def _prepare_sqlite(connection: Any, _record: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}")
