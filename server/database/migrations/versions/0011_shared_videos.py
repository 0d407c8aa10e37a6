"""Videos that several servers segment: a row for the work on a whole video, and whose files they
have."""

import sqlalchemy as sql
from alembic import op

revision = "0011"
down_revision = "0010"

WHOLE = -1


def upgrade() -> None:
    results = sql.Column("results", sql.String(32), nullable=False, server_default="results")
    op.add_column("videos", results)
    op.add_column("videos", sql.Column("progressed", sql.Double))
    failures = sql.Column("failures", sql.Integer, nullable=False, server_default="0")
    op.add_column("pieces", failures)
    op.add_column("pieces", sql.Column("keys", sql.JSON(none_as_null=True)))
    videos = sql.Column("videos", sql.String(64), nullable=False, server_default="")
    op.add_column("owners", videos)
    # No row for the work on a whole video: servers of older versions on this database would take it
    # for a piece. Each server adds those of its own videos when it starts.


def downgrade() -> None:
    op.execute(f"DELETE FROM pieces WHERE number = {WHOLE}")
    for table, column in (
        ("owners", "videos"),
        ("pieces", "keys"),
        ("pieces", "failures"),
        ("videos", "progressed"),
        ("videos", "results"),
    ):
        op.drop_column(table, column)
