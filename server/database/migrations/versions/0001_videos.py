"""The videos, as they were when Alembic was introduced."""

import sqlalchemy as sql
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table("mastream_schema", sql.Column("version", sql.Integer, primary_key=True))
    op.execute("INSERT INTO mastream_schema (version) VALUES (2)")
    op.create_table(
        "videos",
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


def downgrade() -> None:
    op.drop_table("videos")
    op.drop_table("mastream_schema")
