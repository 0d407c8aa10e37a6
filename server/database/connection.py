"""One database: its connections, and the migration of its tables.

Any SQLAlchemy URL works; an SQLite file is the default, and PostgreSQL is tested, too.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from server.database.migrating import migrate
from server.errors import Fault, Unavailable
from server.settings import Settings

_PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
"""SQLite's codes of transient errors; all others are about the file or the query."""

_START = (
    "The database at {host} does not answer ({reason}): start it, or do not set "
    "MASTREAM_VIDEOS__DATABASE. With docker compose, add `--profile postgres`, or do not set "
    "MASTREAM_POSTGRES_PASSWORD."
)

_log = logging.getLogger(__name__)


def sqlite_url(path: Path) -> str:
    """Return the URL of a database in a file."""
    return sql.URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def open_database(settings: Settings) -> Database:
    """Open the configured database, or the SQLite file in the folder. Raises Fault."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    return Database(settings.videos.database or sqlite_url(settings.folder / "videos.db"))


class Database:
    """Connections to one database. Synchronous; any thread may use it.

    Raises Unavailable if the database does not answer, Fault if it fails or if a newer version of
    mastream has used it. Mutable state: whether it answered the last time.
    """

    def __init__(self, url: str) -> None:
        with translated():
            # After a restart of the database the first request must not fail.
            self._engine = sql.create_engine(url, pool_pre_ping=True, **_timeouts(url))
        self.answers = True
        if self._engine.dialect.name == "sqlite":
            sql.event.listen(self._engine, "connect", _prepare_sqlite)
        try:
            with translated():
                migrate(self._engine)
        except Unavailable as error:
            self.close()
            reason, host = _first_line(error.__cause__), self._engine.url.host or "its socket"
            raise Unavailable(_START.format(host=host, reason=reason)) from error
        except BaseException:
            self.close()
            raise

    @contextmanager
    def begin(self) -> Iterator[sql.Connection]:
        """Run a block in one transaction."""
        try:
            with translated(), self._engine.begin() as connection:
                yield connection
        except Unavailable as error:
            self._note(False, error.__cause__)
            raise
        self._note(True)

    def check(self) -> None:
        """Send an empty query, to learn whether the database answers."""
        with self.begin() as connection:
            connection.execute(sql.text("SELECT 1"))

    def close(self) -> None:
        """Close all connections. Idempotent."""
        self._engine.dispose()

    def _note(self, answers: bool, reason: BaseException | None = None) -> None:
        """Log when the database starts or stops answering."""
        if self.answers and not answers:
            _log.error("the database does not answer: %s", _first_line(reason))
        elif answers and not self.answers:
            _log.info("the database answers again")
        self.answers = answers


@contextmanager
def translated() -> Iterator[None]:
    """Translate SQLAlchemy's errors, and that of a missing driver, to Unavailable or Fault."""
    try:
        yield
    except SQLAlchemyError as error:
        if _may_pass(error):
            raise Unavailable("The database does not answer: try again in a moment.") from error
        raise Fault(f"The database failed: {_first_line(error)}") from error
    except ImportError as error:
        raise Fault(
            f"The database's driver is not installed ({error}): for PostgreSQL install "
            "mastream[cluster] and begin the URL with postgresql+psycopg://."
        ) from error


def _may_pass(error: SQLAlchemyError) -> bool:
    """Return whether the same transaction may succeed a moment later: nothing listens, the
    connection broke, there was no answer in time, or another process has locked the file."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _PASSING
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


def _first_line(error: BaseException | None) -> str:
    return str(error).splitlines()[0]


def _timeouts(url: str) -> dict[str, Any]:
    """Return the timeouts for a remote database: one that hangs must not block the threads that
    uploads and metrics need, and a server that hangs must not keep rows locked from the others."""
    if sql.make_url(url).get_backend_name() != "postgresql":
        return {}
    options = "-c statement_timeout=10000 -c idle_in_transaction_session_timeout=5000"
    # If the network loses everything, no answer of the database's own ends a query.
    network = {"tcp_user_timeout": 10000, "keepalives_idle": 5, "keepalives_interval": 2}
    limits = {"connect_timeout": 5, "options": options, **network}
    return {"pool_timeout": 5, "connect_args": limits}


def _prepare_sqlite(connection: Any, _record: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}")
