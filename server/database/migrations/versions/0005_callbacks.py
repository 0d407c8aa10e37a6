"""How many bytes the files of a video hold, for quotas; and the addresses to call when it has
ended."""

import sqlalchemy as sql
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    stored = sql.Column("stored", sql.BigInteger, nullable=False, server_default="0")
    op.add_column("videos", stored)
    op.create_table(
        "callbacks",
        sql.Column("video", sql.String(64), primary_key=True),
        sql.Column("url", sql.String(2048), nullable=False),
        sql.Column("attempts", sql.Integer, nullable=False),
        sql.Column("next_try", sql.Double, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("callbacks")
    op.drop_column("videos", "stored")
