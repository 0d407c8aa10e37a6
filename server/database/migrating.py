"""Migrate a database of any age to the present tables with the scripts in ``migrations``.

Databases from before Alembic have a table ``mastream_schema`` with a version, 1 or 2. It is kept,
so that older servers refuse a newer database instead of damaging it.
"""

from __future__ import annotations

import logging
from pathlib import Path

import sqlalchemy as sql
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.schema import CreateColumn

from server.database.schema import VIDEOS
from server.errors import Fault

SCRIPTS = Path(__file__).parent / "migrations"
FIRST = "0001"
"""The tables of version 2 of ``mastream_schema``."""

# Alembic logs every plugin and context that it sets up.
logging.getLogger("alembic").setLevel(logging.WARNING)

_LOCK = 0x6D617374
"""Held in PostgreSQL while one server migrates."""


def migrate(engine: sql.Engine) -> None:
    """Create or upgrade the tables, in one transaction. Idempotent.

    Raises Fault if a newer version of mastream has used the database.
    """
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sql.select(sql.func.pg_advisory_xact_lock(_LOCK)))
        _check_not_newer(connection, ScriptDirectory.from_config(config))
        config.attributes["connection"] = connection
        if _is_from_before(connection):
            _upgrade_to_first(connection)
            command.stamp(config, FIRST)
        command.upgrade(config, "head")


def _check_not_newer(connection: sql.Connection, scripts: ScriptDirectory) -> None:
    found = MigrationContext.configure(connection).get_current_revision()
    if found is None:
        return
    try:
        scripts.get_revision(found)
    except CommandError as error:
        raise Fault(
            f"The database has schema {found}, which this mastream does not know: start the "
            "version that made it, or choose another data folder."
        ) from error


def _is_from_before(connection: sql.Connection) -> bool:
    inspector = sql.inspect(connection)
    return inspector.has_table("mastream_schema") and not inspector.has_table("alembic_version")


def _upgrade_to_first(connection: sql.Connection) -> None:
    version = connection.scalar(sql.text("SELECT version FROM mastream_schema"))
    if version is not None and version > 2:
        raise Fault(
            f"The database has schema {version}, which this mastream does not know: start the "
            "version that made it, or choose another data folder."
        )
    there = {column["name"] for column in sql.inspect(connection).get_columns(VIDEOS.name)}
    if "losses" not in there:
        described = CreateColumn(VIDEOS.c.losses).compile(dialect=connection.dialect)
        connection.execute(sql.text(f"ALTER TABLE {VIDEOS.name} ADD COLUMN {described}"))
