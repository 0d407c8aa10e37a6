"""Uploads that arrive in parts."""

import sqlalchemy as sql
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "uploads",
        sql.Column("id", sql.String(64), primary_key=True),
        sql.Column("length", sql.BigInteger, nullable=False),
        sql.Column("request", sql.JSON, nullable=False),
        sql.Column("key", sql.String(255), unique=True),
        sql.Column("created", sql.Double, nullable=False),
        sql.Column("ended", sql.Double),
        sql.Column("video", sql.String(64)),
        sql.Column("problem", sql.JSON(none_as_null=True)),
    )


def downgrade() -> None:
    op.drop_table("uploads")
