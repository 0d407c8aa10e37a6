"""Definitions of pulled streams. Servers from before Alembic refuse the database from here on."""

import sqlalchemy as sql
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "streams",
        sql.Column("name", sql.String(64), primary_key=True),
        sql.Column("definition", sql.JSON, nullable=False),
        sql.Column("created", sql.Double, nullable=False),
    )
    op.execute("UPDATE mastream_schema SET version = 3")


def downgrade() -> None:
    op.drop_table("streams")
    op.execute("UPDATE mastream_schema SET version = 2")
