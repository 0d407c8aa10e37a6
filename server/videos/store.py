"""The durable rows of uploaded videos; the only door to the database.

Every change of state is one conditional UPDATE, so two callers never both win: a cancelled video
does not become running, and one that ended stays as it ended. Times are passed in, as seconds
since the epoch. Any SQLAlchemy URL serves; a file of SQLite is the default, PostgreSQL is tested
too. One server process owns the rows: at its start it takes back those that another left running.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.schema import CreateColumn

from server.errors import Conflict, Fault, NoCapacity
from server.frame import Losses, VideoInfo
from server.videos.record import ACTIVE, VideoRecord, VideoState

SCHEMA = 2
"""1 had no ``losses``."""


_metadata = sql.MetaData()
_marker = sql.Table(
    "mastream_schema", _metadata, sql.Column("version", sql.Integer, primary_key=True)
)
_videos = sql.Table(
    "videos",
    _metadata,
    sql.Column("id", sql.String(64), primary_key=True),
    sql.Column("name", sql.String(255), nullable=False),
    sql.Column("model", sql.String(255), nullable=False),
    sql.Column("size", sql.BigInteger, nullable=False),
    sql.Column("info", sql.JSON, nullable=False),
    sql.Column("artefacts", sql.JSON, nullable=False),
    sql.Column("fingerprint", sql.String(64), nullable=False),
    sql.Column("created", sql.Double, nullable=False),
    sql.Column("key", sql.String(255), unique=True),
    sql.Column("state", sql.String(16), nullable=False, index=True),
    sql.Column("frames_done", sql.Integer, nullable=False),
    sql.Column("attempts", sql.Integer, nullable=False),
    sql.Column("problem", sql.JSON(none_as_null=True)),
    sql.Column("started", sql.Double),
    sql.Column("ended", sql.Double),
    sql.Column("losses", sql.JSON(none_as_null=True)),
)


def sqlite_url(path: Path) -> str:
    """The URL of a database in a file."""
    return sql.URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def _patience(url: str) -> dict[str, Any]:
    """How long a database elsewhere is waited for: one that hangs must not take threads that
    uploads and metrics need."""
    if sql.make_url(url).get_backend_name() != "postgresql":
        return {}
    limits = {"connect_timeout": 5, "options": "-c statement_timeout=10000"}
    return {"pool_timeout": 5, "connect_args": limits}


class Store:
    """Rows of videos. Synchronous; any thread may call. Raises Fault where the database fails."""

    def __init__(self, url: str) -> None:
        with _translated():
            # A database that was started anew must not fail the first request after it.
            self._engine = sql.create_engine(url, pool_pre_ping=True, **_patience(url))
        if self._engine.dialect.name == "sqlite":
            sql.event.listen(self._engine, "connect", _prepare_sqlite)
        try:
            with _translated():
                _metadata.create_all(self._engine)
            self._check_version()
        except BaseException:
            self.close()
            raise

    def add(self, record: VideoRecord, max_queued: int) -> None:
        """Write a new video down. Raises NoCapacity when that many are queued, Conflict when its
        id or key is taken."""
        with self._begin() as connection:
            if _count(connection, VideoState.QUEUED) >= max_queued:
                raise NoCapacity(f"{max_queued} videos are queued already: try again later.")
            try:
                connection.execute(_videos.insert().values(**_to_row(record)))
            except IntegrityError as error:
                raise Conflict("Another upload with this Idempotency-Key came first.") from error

    def get(self, video: str) -> VideoRecord | None:
        return self._one(_videos.select().where(_videos.c.id == video))

    def by_key(self, key: str) -> VideoRecord | None:
        return self._one(_videos.select().where(_videos.c.key == key))

    def page(self, limit: int, before: str | None = None) -> list[VideoRecord]:
        """The ``limit`` newest videos, or the newest of those older than the id ``before``."""
        chosen = _videos.select().order_by(_videos.c.id.desc()).limit(limit)
        if before is not None:
            chosen = chosen.where(_videos.c.id < before)
        with self._begin() as connection:
            return [_from_row(row) for row in connection.execute(chosen).mappings()]

    def count(self, state: VideoState) -> int:
        """How many videos are in this state."""
        with self._begin() as connection:
            return _count(connection, state)

    def states(self) -> dict[str, VideoState]:
        """The state of every video, by its id."""
        with self._begin() as connection:
            rows = connection.execute(sql.select(_videos.c.id, _videos.c.state))
            return {video: VideoState(state) for video, state in rows}

    def claim(self, now: float) -> VideoRecord | None:
        """Begin the oldest queued video: it is running and the caller's. None when none waits."""
        oldest = (
            sql.select(_videos.c.id)
            .where(_videos.c.state == VideoState.QUEUED)
            .order_by(_videos.c.id)
            .limit(1)
            # PostgreSQL would make a second claim wait for this one and then find nothing.
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        begun = (
            _moved(VideoState.QUEUED)
            .where(_videos.c.id == oldest)
            .values(
                state=VideoState.RUNNING,
                started=now,
                frames_done=0,
                attempts=_videos.c.attempts + 1,
            )
        )
        return self._one(begun.returning(*_videos.c))

    def finish(
        self,
        video: str,
        state: VideoState,
        now: float,
        frames_done: int,
        problem: Mapping[str, Any] | None = None,
        losses: Losses | None = None,
    ) -> bool:
        """End a running video as succeeded or failed. False when it was not running any more."""
        ended = _moved(VideoState.RUNNING).where(_videos.c.id == video)
        return self._changed(
            ended.values(
                state=state,
                ended=now,
                frames_done=frames_done,
                problem=problem,
                losses=None if losses is None else asdict(losses),
            )
        )

    def cancel(self, video: str, now: float, frames_done: int = 0) -> bool:
        """End a video that is queued or running. False when it is neither."""
        ended = _moved(*ACTIVE).where(_videos.c.id == video)
        return self._changed(
            ended.values(state=VideoState.CANCELLED, ended=now, frames_done=frames_done)
        )

    def release(self, video: str) -> bool:
        """Put a running video back into the queue as if it had not been begun."""
        back = _moved(VideoState.RUNNING).where(_videos.c.id == video)
        return self._changed(
            back.values(
                state=VideoState.QUEUED,
                started=None,
                frames_done=0,
                attempts=_videos.c.attempts - 1,
            )
        )

    def recover(self, now: float, max_attempts: int, problem: Mapping[str, Any]) -> None:
        """Take back what a dead process left running: queued again, or failed with ``problem``
        where it was begun ``max_attempts`` times (a video that kills the server)."""
        left = _moved(VideoState.RUNNING)
        with self._begin() as connection:
            connection.execute(
                left.where(_videos.c.attempts >= max_attempts).values(
                    state=VideoState.FAILED, ended=now, problem=problem
                )
            )
            connection.execute(left.values(state=VideoState.QUEUED, started=None, frames_done=0))

    def remove(self, video: str) -> bool:
        """Forget a video that ended. False when it is active or unknown."""
        return self._changed(
            _videos.delete().where(_videos.c.id == video, _videos.c.state.not_in(ACTIVE))
        )

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _begin(self) -> Iterator[sql.Connection]:
        with _translated(), self._engine.begin() as connection:
            yield connection

    def _one(self, statement: sql.Executable) -> VideoRecord | None:
        with self._begin() as connection:
            row = connection.execute(statement).mappings().first()
        return None if row is None else _from_row(row)

    def _changed(self, statement: sql.Update | sql.Delete) -> bool:
        with self._begin() as connection:
            return connection.execute(statement).rowcount == 1

    def _check_version(self) -> None:
        with self._begin() as connection:
            found = connection.scalar(sql.select(_marker.c.version))
            if found is None:
                connection.execute(_marker.insert().values(version=SCHEMA))
            elif found < SCHEMA:
                self._upgrade(connection)
        if found is not None and found > SCHEMA:
            raise Fault(
                f"The database has schema {found} and this mastream needs {SCHEMA}: "
                "start the version that made it, or choose another data folder."
            )

    def _upgrade(self, connection: sql.Connection) -> None:
        """Add the columns that an older version did not have; its rows have nothing in them."""
        there = {column["name"] for column in sql.inspect(connection).get_columns(_videos.name)}
        for column in _videos.c:
            if column.name not in there:
                described = CreateColumn(column).compile(dialect=self._engine.dialect)
                connection.execute(sql.text(f"ALTER TABLE {_videos.name} ADD COLUMN {described}"))
        connection.execute(_marker.update().values(version=SCHEMA))


def _moved(*states: VideoState) -> sql.Update:
    return _videos.update().where(_videos.c.state.in_(states))


def _count(connection: sql.Connection, state: VideoState) -> int:
    counted = sql.select(sql.func.count()).where(_videos.c.state == state)
    return connection.scalar(counted) or 0


def _to_row(record: VideoRecord) -> dict[str, Any]:
    row = {column.name: getattr(record, column.name) for column in _videos.c}
    row["info"] = record.info.to_dict()
    row["artefacts"] = list(record.artefacts)
    row["losses"] = None if record.losses is None else asdict(record.losses)
    return row


def _from_row(row: Mapping[Any, Any]) -> VideoRecord:
    values = dict(row)
    values["info"] = VideoInfo.from_dict(values["info"])
    values["losses"] = None if values["losses"] is None else Losses(**values["losses"])
    values["artefacts"] = tuple(values["artefacts"])
    values["state"] = VideoState(values["state"])
    return VideoRecord(**values)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise Fault(f"The database failed: {str(error).splitlines()[0]}") from error
    except ImportError as error:
        raise Fault(
            f"The database's driver is not installed ({error}): for PostgreSQL install "
            "mastream[cluster] and begin the URL with postgresql+psycopg://"
        ) from error
