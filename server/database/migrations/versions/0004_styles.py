"""Which classes a video's results show, and how strongly. NULL is the default style."""

import sqlalchemy as sql
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("videos", sql.Column("style", sql.JSON))


def downgrade() -> None:
    op.drop_column("videos", "style")
