"""Room for the addresses of callbacks when they are sealed."""

import sqlalchemy as sql
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    with op.batch_alter_table("callbacks") as callbacks:
        callbacks.alter_column("url", existing_type=sql.String(2048), type_=sql.Text)


def downgrade() -> None:
    with op.batch_alter_table("callbacks") as callbacks:
        callbacks.alter_column("url", existing_type=sql.Text, type_=sql.String(2048))
