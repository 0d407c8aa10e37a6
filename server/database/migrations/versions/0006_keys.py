"""API keys, and the key that owns a video. Earlier videos belong to admins."""

import sqlalchemy as sql
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sql.Column("id", sql.String(64), primary_key=True),
        sql.Column("name", sql.String(255), nullable=False),
        sql.Column("role", sql.String(16), nullable=False),
        sql.Column("streams", sql.JSON, nullable=False),
        sql.Column("digests", sql.JSON, nullable=False),
        sql.Column("created", sql.Double, nullable=False),
        sql.Column("revoked", sql.Double),
        sql.Column("overlap_ends", sql.Double, nullable=False),
    )
    owner = sql.Column("owner", sql.String(64), nullable=False, server_default="")
    op.add_column("videos", owner)
    op.create_index("ix_videos_owner", "videos", ["owner"])


def downgrade() -> None:
    op.drop_index("ix_videos_owner", "videos")
    op.drop_column("videos", "owner")
    op.drop_table("api_keys")
