"""The servers that share a database, and which of them has which pulled stream."""

import sqlalchemy as sql
from alembic import op

revision = "0008"
down_revision = "0007"

NEW = (
    sql.Column("owner", sql.String(64)),
    sql.Column("epoch", sql.Integer, nullable=False, server_default="0"),
    sql.Column("expires", sql.Double),
)


def upgrade() -> None:
    op.create_table(
        "owners",
        sql.Column("name", sql.String(64), primary_key=True),
        sql.Column("epoch", sql.Integer, nullable=False),
        sql.Column("url", sql.String(2048)),
        sql.Column("node", sql.String(255), nullable=False),
        sql.Column("model", sql.String(255), nullable=False),
        sql.Column("sessions", sql.Integer, nullable=False),
        sql.Column("room", sql.Integer, nullable=False),
        sql.Column("draining", sql.Boolean, nullable=False),
        sql.Column("expires", sql.Double, nullable=False),
    )
    for column in NEW:
        op.add_column("streams", column)


def downgrade() -> None:
    op.drop_table("owners")
    for column in NEW:
        op.drop_column("streams", column.name)
