"""Which server has the files of a video or an upload."""

import sqlalchemy as sql
from alembic import op

revision = "0009"
down_revision = "0008"

TABLES = ("videos", "uploads")


def upgrade() -> None:
    for table in TABLES:
        server = sql.Column("server", sql.String(64), nullable=False, server_default="")
        op.add_column(table, server)


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "server")
