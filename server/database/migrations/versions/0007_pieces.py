"""The pieces of videos that are segmented, and the progress of a video across restarts."""

import sqlalchemy as sql
from alembic import op

revision = "0007"
down_revision = "0006"

NEW = (
    sql.Column("spent", sql.Double, nullable=False, server_default="0"),
    sql.Column("pieces", sql.Integer),
    sql.Column("uncut", sql.String(32)),
    sql.Column("planned_for", sql.String(64)),
)


def upgrade() -> None:
    for column in NEW:
        op.add_column("videos", column)
    op.create_table(
        "pieces",
        sql.Column("video", sql.String(64), primary_key=True),
        sql.Column("number", sql.Integer, primary_key=True),
        sql.Column("first", sql.Integer, nullable=False),
        sql.Column("last", sql.Integer),
        sql.Column("state", sql.String(16), nullable=False),
        sql.Column("owner", sql.String(255)),
        sql.Column("epoch", sql.Integer, nullable=False),
        sql.Column("expires", sql.Double),
        sql.Column("deaths", sql.Integer, nullable=False),
        sql.Column("reached", sql.Integer),
        sql.Column("frames", sql.Integer),
        sql.Column("losses", sql.JSON(none_as_null=True)),
    )


def downgrade() -> None:
    op.drop_table("pieces")
    for column in NEW:
        op.drop_column("videos", column.name)
